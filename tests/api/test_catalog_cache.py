"""The catalogue's cache over a real Postgres and a real Valkey: never wrong for longer than a message takes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from litestar.serialization import decode_json
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from api.catalog_cache import CatalogCache
from db.catalog_news import catalog_news
from db.catalog_query import ProductQuery, Sort
from db.engine import Sessions
from db.listening import Listening
from runtime.cache.shared import SharedCache
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, unique
from tests.support.orders import a_placed_order
from tests.support.processes import answers, free_port, process
from tests.support.statements import counted_statements
from tests.support.waiting import eventually


@asynccontextmanager
async def a_cache(
    resources: Resources, sessions: Sessions | None = None, most_bytes: int = 1_000_000
) -> AsyncIterator[CatalogCache]:
    """As one API process has it, listening."""
    shared = SharedCache(resources.redis, prefix=f"test-{uuid4().hex}:", seconds=60)
    cache = CatalogCache(sessions or resources.sessions, shared, seconds=60, most_bytes=most_bytes)
    news = Listening(resources.engine.url, catalog_news(resources.settings.database.shop_schema, [cache]))
    listening = asyncio.create_task(news.run())
    try:

        async def is_told() -> bool:
            return cache.is_told

        await eventually(is_told)
        yield cache
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def price_of(cache: CatalogCache, product: AProduct) -> str:
    known = await cache.product(str(product.product_id), "USD")
    assert known is not None
    return str(decode_json(known.body)["price"]["amount"])


async def set_price(resources: Resources, product: AProduct, minor: int) -> None:
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE prices SET amount = :amount WHERE variant_id = :id"),
            {"amount": minor, "id": product.variant_id},
        )


async def test_a_product_is_read_once(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="5.00")
    async with a_cache(resources) as cache:
        with counted_statements(resources.engine) as statements:
            by_id = [await price_of(cache, product) for _ in range(10)]
        assert (by_id, len(statements)) == (["5.00"] * 10, 2)

        with counted_statements(resources.engine) as statements:
            for _ in range(10):
                assert await cache.product(product.slug, "USD") is not None
        assert len(statements) == 2


async def test_a_list_leaves_products_as_they_are_that_it_shows_unchanged(resources: Resources) -> None:
    brand = unique("Brand")
    one, other = [await a_product(resources.sessions, brand=brand, price="5.00") for _ in range(2)]
    async with a_cache(resources) as cache:
        kept = [await cache.product(str(product.product_id), "USD") for product in (one, other)]
        _, [_, *shown] = await cache.page(ProductQuery(currency="USD", limit=20, brand=brand, sort=Sort.PRICE))
        assert {id(part) for part in shown} == {id(product) for product in kept}
        assert all(part.is_fresh for part in shown)

        await set_price(resources, one, 600)

        async def is_changed() -> bool:
            return await price_of(cache, one) == "6.00"

        await eventually(is_changed)
        _, [_, *shown] = await cache.page(ProductQuery(currency="USD", limit=20, brand=brand, sort=Sort.NAME))
        assert [id(part) in {id(product) for product in kept} for part in shown].count(True) == 1


async def test_a_hundred_misses_at_once_are_one_read(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="5.00")
    async with a_cache(resources) as cache:
        with counted_statements(resources.engine) as statements:
            prices = await asyncio.gather(*(price_of(cache, product) for _ in range(100)))

    assert prices == ["5.00"] * 100
    assert len(statements) == 2


async def test_a_thousand_questions_for_what_does_not_exist_are_one_query(resources: Resources) -> None:
    async with a_cache(resources) as cache:
        for unknown in (str(uuid4()), f"no-such-{uuid4().hex}"):
            with counted_statements(resources.engine) as statements:
                assert await asyncio.gather(*(cache.product(unknown, "USD") for _ in range(500))) == [None] * 500
                assert [await cache.product(unknown, "USD") for _ in range(500)] == [None] * 500
            assert len(statements) == 1


async def test_what_did_not_exist_is_found_once_it_does(resources: Resources) -> None:
    async with a_cache(resources) as cache:
        product = await a_product(resources.sessions, is_active=False)
        assert await cache.product(product.slug, "USD") is None

        async with resources.sessions.begin() as session:
            await session.execute(text("UPDATE products SET is_active = true WHERE slug = :s"), {"s": product.slug})

        async def is_shown() -> bool:
            return await cache.product(product.slug, "USD") is not None

        await eventually(is_shown)


async def test_a_sale_is_seen_in_the_product_and_on_the_page_without_asking_for_the_page_again(
    resources: Resources,
) -> None:
    brand = unique("Brand")
    sold = await a_product(resources.sessions, brand=brand, stock=7)
    await a_product(resources.sessions, brand=brand, stock=7)
    query = ProductQuery(currency="USD", limit=5, brand=brand)

    async with a_cache(resources) as cache:

        async def stocks() -> dict[str, int]:
            body, _ = await cache.page(query)
            return {item["id"]: item["stock_quantity"] for item in decode_json(body)["items"]}

        assert sorted((await stocks()).values()) == [7, 7]
        await a_placed_order(resources.sessions, (sold.variant_id, 3))

        async def is_seen() -> bool:
            return (await stocks())[str(sold.product_id)] == 4

        await eventually(is_seen)
        await set_price(resources, sold, 100)  # lists may be in another order now
        with counted_statements(resources.engine) as statements:

            async def is_cheaper() -> bool:
                return await price_of(cache, sold) == "1.00"

            await eventually(is_cheaper)
        assert len(statements) <= 4


@pytest.mark.parametrize(("bought", "left"), [(2, []), (1, [1])], ids=["the last unit", "not the last unit"])
async def test_a_list_of_what_can_be_sold_follows_the_last_unit(
    resources: Resources, bought: int, left: list[int]
) -> None:
    brand = unique("Brand")
    product = await a_product(resources.sessions, brand=brand, stock=2)
    query = ProductQuery(currency="USD", limit=5, brand=brand, in_stock=True)

    async with a_cache(resources) as cache:

        async def stocks() -> list[int]:
            return [item["stock_quantity"] for item in decode_json((await cache.page(query))[0])["items"]]

        assert await stocks() == [2]
        await a_placed_order(resources.sessions, (product.variant_id, bought))

        async def is_heard() -> bool:
            return await stocks() != [2]

        await eventually(is_heard)
        assert await stocks() == left


class Pausing(AsyncSession):
    """Stands still between having read and saying so."""

    has_read: asyncio.Event
    may_go_on: asyncio.Event

    async def __aexit__(self, *exc: Any) -> None:
        await super().__aexit__(*exc)
        self.has_read.set()
        await self.may_go_on.wait()


async def test_what_was_read_before_a_change_and_arrives_after_it_is_not_kept(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="5.00")

    class Slow(Pausing):
        has_read, may_go_on = asyncio.Event(), asyncio.Event()

    slow = resources.sessions.__class__(resources.engine, class_=Slow, expire_on_commit=False)
    async with a_cache(resources, slow) as cache:
        before = asyncio.create_task(price_of(cache, product))
        await Slow.has_read.wait()
        await set_price(resources, product, 700)

        async def is_heard() -> bool:
            return cache.heard > 0

        await eventually(is_heard)
        Slow.may_go_on.set()

        assert await before == "5.00"  # it was asked before the change
        assert await price_of(cache, product) == "7.00"


@pytest.mark.parametrize("most_bytes", [1_000_000, 1_000], ids=["known anew", "no room"])
async def test_what_is_no_longer_in_memory_is_not_used_in_ready_answers(resources: Resources, most_bytes: int) -> None:
    """Only what is in memory is told of changes."""
    brand = unique("Brand")
    product = await a_product(resources.sessions, brand=brand)
    async with a_cache(resources, most_bytes=most_bytes) as cache:
        known = await cache.product(product.slug, "USD")
        assert known is not None

        await cache.page(ProductQuery(currency="USD", limit=5, brand=brand))
        again = await cache.product(product.slug, "USD")

        assert again is not None
        assert (known is again) or not known.is_fresh


async def test_while_postgres_says_nothing_nothing_is_kept(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="5.00")
    async with a_cache(resources) as cache:
        assert await price_of(cache, product) == "5.00"
        cache.lose()
        with counted_statements(resources.engine) as statements:
            assert [await price_of(cache, product) for _ in range(3)] == ["5.00"] * 3
        assert len(statements) == 6


async def test_a_listener_that_was_cut_off_comes_back_and_has_missed_nothing(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="5.00")
    async with a_cache(resources) as cache:
        assert await price_of(cache, product) == "5.00"
        async with resources.sessions.begin() as session:
            await session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'sutler catalog news'"
                )
            )
            await session.execute(
                text("UPDATE prices SET amount = 900 WHERE variant_id = :id"), {"id": product.variant_id}
            )

        async def is_seen() -> bool:
            return await price_of(cache, product) == "9.00"

        await eventually(is_seen)


async def test_without_postgres_the_last_known_state_is_shown_marked_and_sold_out(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="5.00", stock=9)
    brand_query = ProductQuery(currency="USD", limit=1, sort=Sort.NEWEST)
    async with a_cache(resources) as cache:
        await price_of(cache, product)
        page_before, _ = await cache.page(brand_query)
        cache.lose()
        cache.sessions = _no_database()  # type: ignore[assignment]

        known = await cache.product(str(product.product_id), "USD")
        assert known is not None
        shown = decode_json(known.body)
        assert (shown["degraded"], shown["price"]["amount"], shown["stock_quantity"]) == (True, "5.00", 0)
        assert [variant["stock_quantity"] for variant in shown["variants"]] == [0]

        page, _ = await cache.page(brand_query)
        [before], [after] = (decode_json(body)["items"] for body in (page_before, page))
        assert after == {
            **before,
            "degraded": True,
            "stock_quantity": after["stock_quantity"],
            "variants": after["variants"],
        }
        assert {variant["stock_quantity"] for variant in after["variants"]} == {0}

        with pytest.raises(OperationalError):
            await cache.product(str(uuid4()), "USD")


def _no_database() -> Callable[[], Any]:
    def refuse() -> Any:
        raise OperationalError("SELECT", {}, ConnectionRefusedError())

    return refuse


async def test_a_change_through_one_api_process_is_seen_at_once_there_and_soon_in_the_other(
    api: httpx.AsyncClient,
    admin: dict[str, str],
    resources: Resources,
    environment: dict[str, str],
    log_file: Path,
) -> None:
    product = await a_product(resources.sessions, price="5.00")
    path = f"/v1/products/{product.product_id}"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as parts:
        second = process(
            "cli",
            "api",
            environment={**environment, "APP_API__PORT": str(port)},
            ready=answers(f"{url}/health"),
            log=log_file,
        )
        await asyncio.to_thread(parts.enter_context, second)
        async with httpx.AsyncClient(base_url=url, timeout=30) as other:

            async def prices() -> list[str]:
                return [(await http.get(path)).json()["price"]["amount"] for http in (api, other)]

            for _ in range(3):
                assert await prices() == ["5.00", "5.00"]
            for amount in ("6.00", "7.00", "8.00"):
                change = {"price": {"amount": amount, "currency": "USD"}}
                assert (await api.patch(path, json=change, headers=admin)).status_code == 200
                assert (await api.get(path)).json()["price"]["amount"] == amount

                async def agrees(amount: str = amount) -> bool:
                    return await prices() == [amount, amount]

                await eventually(agrees)


async def test_ready_answers_carry_all_that_others_do(api: httpx.AsyncClient, resources: Resources) -> None:
    product = await a_product(resources.sessions)
    path = f"/v1/products/{product.product_id}"
    first = await api.get(path)
    again = await api.get(path, headers={"X-Request-Id": "my-own-id"})

    varying = {"x-request-id", "date"}
    kept = [{k: v for k, v in told.headers.items() if k not in varying} for told in (first, again)]
    assert kept[0] == kept[1]
    assert again.content == first.content
    assert again.headers["X-Request-Id"] == "my-own-id"
    assert len((await api.get(path)).headers["X-Request-Id"]) == 32

    known = await api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["ETag"] == first.headers["ETag"]

    forged = await api.get(path, headers={"Authorization": "Bearer forged"})
    assert (forged.status_code, forged.json()["code"]) == (401, "unauthenticated")


async def test_ready_answers_are_counted(api: httpx.AsyncClient, resources: Resources) -> None:
    product = await a_product(resources.sessions)

    async def counted() -> float:
        lines = (await api.get("/metrics")).text.splitlines()
        wanted = 'http_requests_total{method="GET",path="/v1/products/{product}",status="200"}'
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(wanted))

    before = await counted()
    for _ in range(5):
        assert (await api.get(f"/v1/products/{product.product_id}")).status_code == 200

    assert await counted() - before == 5


async def test_what_is_read_together_is_not_read_again_in_the_same_second(resources: Resources) -> None:
    tag = f"together-{uuid4().hex[:8]}"
    for _ in range(20):
        await a_product(resources.sessions, brand=tag)
    async with a_cache(resources) as cache:
        _, [_, *products] = await cache.page(ProductQuery(currency="USD", limit=20, brand=tag))

    ends = [product.expires_at for product in products]
    assert len(ends) == 20
    assert 3 < max(ends) - min(ends) <= 6
