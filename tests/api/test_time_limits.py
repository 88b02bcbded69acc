"""A request that has to wait for others too long says so, and has done nothing."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from sqlalchemy import text

from api.app import create_app
from runtime.resources import Resources
from runtime.settings import Settings
from tests.support.catalog import a_product
from tests.support.shopper import Shopper


@asynccontextmanager
async def a_hasty_api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """An API whose requests wait for nobody longer than a fifth of a second."""
    database = settings.database.model_copy(update={"lock_seconds": 0.2})
    app = create_app(settings.model_copy(update={"database": database}))
    async with app.lifespan():
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
            yield http


async def given_up(http: httpx.AsyncClient) -> float:
    """How often a lock was waited for in vain."""
    told = (await http.get("/metrics")).text
    found = re.search(r'^sutler_statements_given_up_total\{sqlstate="55P03"\} (\S+)', told, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_a_request_that_waits_too_long_for_a_lock_is_answered_503_and_has_done_nothing(
    settings: Settings, resources: Resources
) -> None:
    async with a_hasty_api(settings) as hasty:
        product = await a_product(resources.sessions, stock=3)
        shopper = Shopper(hasty)
        cart = await shopper.a_cart((product.variant_id, 1))
        before, counted = (await hasty.get(f"/v1/carts/{cart}")).json(), await given_up(hasty)
        wish = {"email": "grace@example.com"}

        async with resources.sessions.begin() as in_the_way:
            await in_the_way.execute(text("SELECT 1 FROM carts WHERE id = :id FOR UPDATE"), {"id": cart})
            refused = await hasty.put(f"/v1/carts/{cart}/email", json=wish)
            unchanged = (await hasty.get(f"/v1/carts/{cart}")).json()
        done = await hasty.put(f"/v1/carts/{cart}/email", json=wish)

        assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (
            503,
            "unavailable",
            "1",
        )
        assert refused.json()["detail"] == "This took too long and was given up; ask again."
        assert unchanged == before
        assert (done.status_code, done.json()["email"]) == (200, "grace@example.com")
        assert await given_up(hasty) == counted + 1


async def test_a_wish_with_a_key_that_was_given_up_is_done_once_when_it_comes_again(
    settings: Settings, resources: Resources, operator: dict[str, str]
) -> None:
    async with a_hasty_api(settings) as hasty:
        product = await a_product(resources.sessions, stock=3)
        address = f"/v1/variants/{product.variant_id}/stock-adjustments"
        wish = {"quantity_change": 2, "reason": "found in the cellar"}
        named = {**operator, "Idempotency-Key": f"cellar-{product.variant_id}"}

        async with resources.sessions.begin() as in_the_way:
            locked = text("SELECT 1 FROM stock WHERE variant_id = :id FOR UPDATE")
            await in_the_way.execute(locked, {"id": product.variant_id})
            refused = await asyncio.gather(*(hasty.post(address, json=wish, headers=named) for _ in range(2)))
        done = [await hasty.post(address, json=wish, headers=named) for _ in range(2)]

        assert [answer.status_code for answer in refused] == [503, 503]
        assert [(answer.status_code, answer.json()["on_hand"]) for answer in done] == [(201, 5), (201, 5)]
