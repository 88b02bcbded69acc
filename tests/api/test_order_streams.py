"""Whoever follows an order hears what happens to it, once and at once, from whichever process they ask."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api.following import Followers
from api.order_streams import is_stream_wanted
from db import orders, parcels, watched_orders
from db.listening import Listening
from db.watched_orders import order_news
from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_machines import counted
from tests.api.test_problems import is_a_problem
from tests.support.catalog import a_product
from tests.support.orders import (
    AnOrder,
    a_placed_order,
    to_cancel,
    to_confirm,
    to_move,
    to_plan,
    to_ship,
)
from tests.support.processes import answers, free_port, process
from tests.support.staff import headers_of
from tests.support.statements import counted_statements
from tests.support.waiting import eventually

STREAM = {"Accept": "text/event-stream"}
MOST_OF_CALLER, MOST, MOST_BYTES = 2, 3, 4096


@pytest.fixture(scope="module")
async def other(
    environment: dict[str, str], resources: Resources, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """Another API process, which lets follow less, and is not silent for long."""
    port = free_port()
    own = {
        **environment,
        "APP_API__PORT": str(port),
        "APP_API__STREAMS_PER_CALLER": str(MOST_OF_CALLER),
        "APP_AT_ONCE__STREAMS": str(MOST),
        "APP_API__STREAM_BYTES": str(MOST_BYTES),
        "APP_API__STREAM_SILENCE_SECONDS": "0.2",
    }
    url, log = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("other") / "api.log"
    part = process("cli", "api", environment=own, ready=answers(f"{url}/health"), log=log)
    await asyncio.to_thread(part.__enter__)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            yield http
    finally:
        await asyncio.to_thread(part.__exit__, None, None, None)


async def an_order(resources: Resources) -> AnOrder:
    product = await a_product(resources.sessions, price="10.00")
    return await a_placed_order(resources.sessions, (product.variant_id, 2))


@pytest.fixture
async def order(resources: Resources) -> AnOrder:
    return await an_order(resources)


def events_of(order: AnOrder) -> str:
    return f"/v1/orders/{order.order_id}/events"


class Following:
    """A client that reads messages as browsers do."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.comes_again_ms = 0
        """As was said behind the last message."""

    async def line(self) -> str:
        async with asyncio.timeout(30):
            return await anext(self._lines)

    async def message(self) -> dict[str, str] | None:
        """The next one that says something; ``None`` when the stream is over."""
        told: dict[str, str] = {}
        async with asyncio.timeout(30):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name:
                    told[name] = value
                elif told:
                    self.comes_again_ms = int(told.get("retry", 0))
                    if "data" in told:
                        return told
                    told = {}
        return None

    async def types(self, count: int) -> list[str]:
        return [json.loads((await self.message() or {})["data"])["type"] for _ in range(count)]


@asynccontextmanager
async def following(
    http: httpx.AsyncClient, order: AnOrder, headers: Mapping[str, str] | None = None, **query: Any
) -> AsyncIterator[Following]:
    params = {"cart": str(order.cart_id), **query}
    async with http.stream("GET", events_of(order), params=params, headers={**STREAM, **(headers or {})}) as response:
        assert response.status_code == 200, await response.aread()
        yield Following(response)


async def confirm(resources: Resources, order: AnOrder) -> None:
    async with resources.sessions.begin() as session:
        await orders.confirm(session, to_confirm(order))


async def ship(resources: Resources, order: AnOrder) -> UUID:
    plan = to_plan(order)
    async with resources.sessions.begin() as session:
        await parcels.plan(session, plan)
        await parcels.ship(session, to_ship(order, plan.fulfillment_id))
    return plan.fulfillment_id


async def deliver(resources: Resources, order: AnOrder, fulfillment_id: UUID) -> None:
    async with resources.sessions.begin() as session:
        await parcels.deliver(session, to_move(order, fulfillment_id))


async def all_gone(http: httpx.AsyncClient) -> None:
    async def none() -> bool:
        return await counted(http, 'sutler_requests_in_flight{kind="streams"}') == 0

    await eventually(none)


async def test_what_happens_elsewhere_reaches_every_process_until_the_order_is_delivered(
    api: httpx.AsyncClient, other: httpx.AsyncClient, resources: Resources, order: AnOrder
) -> None:
    async with following(api, order) as here, following(other, order) as there:
        assert here.response.headers["content-type"].startswith("text/event-stream")
        assert here.response.headers["cache-control"] == "no-store"
        assert await here.types(1) == await there.types(1) == ["order.placed"]

        await confirm(resources, order)
        assert await here.types(1) == await there.types(1) == ["order.confirmed"]

        await deliver(resources, order, await ship(resources, order))
        page = (await api.get(events_of(order), params={"cart": str(order.cart_id)})).json()["items"]
        for stream in (here, there):
            told = [await stream.message() for _ in page[2:]]
            assert [json.loads((one or {})["data"]) for one in told] == page[2:]
            assert [(one or {})["id"] for one in told] == [str(event["id"]) for event in page[2:]]
            assert await stream.message() == {"event": "end", "data": ""}
            assert await stream.message() is None
    await all_gone(api)
    await all_gone(other)


async def test_whoever_comes_again_hears_what_they_missed_and_nothing_twice(
    api: httpx.AsyncClient, other: httpx.AsyncClient, resources: Resources, order: AnOrder
) -> None:
    async with following(api, order) as first:
        last = await first.message() or {}
    await confirm(resources, order)

    async with following(other, order, {"Last-Event-ID": last["id"]}) as again:
        assert await again.types(1) == ["order.confirmed"]
        await ship(resources, order)
        page = (await api.get(events_of(order), params={"cart": str(order.cart_id)})).json()["items"]
        assert await again.types(len(page) - 2) == [event["type"] for event in page[2:]]


async def test_of_an_order_that_is_over_all_is_told_and_then_browsers_are_told_to_ask_no_more(
    api: httpx.AsyncClient, resources: Resources, order: AnOrder
) -> None:
    async with resources.sessions.begin() as session:
        await orders.cancel(session, to_cancel(order))

    async with following(api, order) as stream:
        assert await stream.types(2) == ["order.placed", "order.cancelled"]
        assert await stream.message() == {"event": "end", "data": ""}
        assert await stream.message() is None

    headers = {**STREAM, "Last-Event-ID": "2"}
    over = await api.get(events_of(order), params={"cart": str(order.cart_id)}, headers=headers)
    assert (over.status_code, over.content) == (204, b"")


async def test_a_stream_is_for_whoever_may_see_the_order_and_tells_others_nothing(
    api: httpx.AsyncClient, resources: Resources, order: AnOrder
) -> None:
    customer = await headers_of(resources, Role.CUSTOMER)
    foreign: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({}, {"cart": str(uuid4())}),
        (customer, {}),
    ]
    for headers, query in foreign:
        refused = await api.get(events_of(order), params=query, headers={**STREAM, **headers})
        assert is_a_problem(refused, 404, "not_found")["detail"] == "There is no such order."
    forged = await api.get(events_of(order), headers={**STREAM, "Authorization": "Bearer forged"})
    is_a_problem(forged, 401, "unauthenticated")

    staff = await headers_of(resources, Role.SUPPORT)
    async with api.stream("GET", events_of(order), headers={**STREAM, **staff}) as response:
        assert await Following(response).types(1) == ["order.placed"]


async def test_whoever_has_signed_out_hears_nothing_more(
    api: httpx.AsyncClient, resources: Resources, order: AnOrder
) -> None:
    staff = await headers_of(resources, Role.SUPPORT)
    async with api.stream("GET", events_of(order), headers={**STREAM, **staff}) as response:
        stream = Following(response)
        assert await stream.types(1) == ["order.placed"]
        assert (await api.post("/v1/auth/logout", headers=staff)).status_code == 204
        await confirm(resources, order)

        assert await stream.message() is None


@pytest.mark.parametrize("last", ["-1", "first", "99999999999"])
async def test_a_last_event_that_is_no_number_is_refused(api: httpx.AsyncClient, order: AnOrder, last: str) -> None:
    params, headers = {"cart": str(order.cart_id)}, {**STREAM, "Last-Event-ID": last}

    is_a_problem(await api.get(events_of(order), params=params, headers=headers), 422, "validation_failed")


async def test_over_the_limits_whoever_wants_to_follow_is_told_to_come_again(
    other: httpx.AsyncClient, resources: Resources, order: AnOrder
) -> None:
    await all_gone(other)
    staff = await headers_of(resources, Role.SUPPORT)
    async with following(other, order), following(other, order):
        params = {"cart": str(order.cart_id)}
        too_much = await other.get(events_of(order), params=params, headers=STREAM)
        is_a_problem(too_much, 429, "rate_limited")
        assert too_much.headers["retry-after"] == "5"

        async with following(other, order, staff):
            full = await other.get(events_of(order), params=params, headers=STREAM)
            is_a_problem(full, 503, "unavailable")
            assert full.headers["retry-after"] == "1"
            assert (await other.get(events_of(order), params=params)).status_code == 200
    await all_gone(other)


async def test_a_stream_holds_no_connection_of_the_pool(
    api: httpx.AsyncClient, resources: Resources, settings: Any, order: AnOrder
) -> None:
    """More streams are open than there are connections, and everybody is answered."""
    async with httpx.AsyncClient(base_url=str(api.base_url), timeout=30) as http:
        count = settings.database.pool_size + 5
        opened = [following(http, order) for _ in range(count)]
        streams = [await stream.__aenter__() for stream in opened]
        assert {(await stream.types(1))[0] for stream in streams} == {"order.placed"}
        assert (await api.get(f"/v1/orders/{order.order_id}", params={"cart": str(order.cart_id)})).is_success
        await confirm(resources, order)
        assert {(await stream.types(1))[0] for stream in streams} == {"order.confirmed"}
        for stream in opened:
            await stream.__aexit__(None, None, None)
    await all_gone(api)


class Heard:
    def __init__(self) -> None:
        self.is_listening = asyncio.Event()
        self.orders: list[UUID] = []

    async def begin(self) -> None:
        self.is_listening.set()

    def hear(self, order_id: UUID) -> None:
        self.orders.append(order_id)

    def lose(self) -> None: ...


async def test_postgres_tells_of_the_orders_that_somebody_watches_and_of_no_others(
    resources: Resources, order: AnOrder
) -> None:
    heard, watched = Heard(), await an_order(resources)
    news = order_news(resources.settings.database.shop_schema, [heard])
    listening = asyncio.create_task(Listening(resources.engine.url, news).run())
    await heard.is_listening.wait()
    async with resources.autocommit() as session:
        await watched_orders.watch(session, [watched.order_id])

    for one in (order, watched):
        await confirm(resources, one)

    async def told() -> bool:
        return watched.order_id in heard.orders

    await eventually(told)
    assert order.order_id not in heard.orders
    listening.cancel()


def followers_of(resources: Resources) -> Followers:
    """Such as hear nothing from Postgres."""
    minute = timedelta(minutes=1)
    return Followers(resources.autocommit, most_of_caller=100, longest=minute, longest_silence=minute)


async def test_an_event_that_postgres_did_not_tell_of_is_seen_at_the_next_look(
    resources: Resources, order: AnOrder
) -> None:
    followers = followers_of(resources)
    told = followers.told(followers.admit(order.order_id, "somebody", after=0))
    assert [row["type"] for row in await anext(told)] == ["order.placed"]
    waiting = asyncio.ensure_future(anext(told))
    await confirm(resources, order)  # nobody listens for these followers

    async def seen() -> bool:
        await followers.look()
        return waiting.done()

    await eventually(seen)
    assert [row["type"] for row in await waiting] == ["order.confirmed"]
    await told.aclose()


async def test_however_many_follow_an_order_one_question_tells_them_all(resources: Resources, order: AnOrder) -> None:
    followers = followers_of(resources)
    told = [followers.told(followers.admit(order.order_id, "somebody", after=0)) for _ in range(50)]
    for rows in await asyncio.gather(*(anext(one) for one in told)):
        assert [row["type"] for row in rows] == ["order.placed"]

    with counted_statements(resources.engine) as statements:
        waiting = [asyncio.ensure_future(anext(one)) for one in told]
        await confirm(resources, order)
        followers.hear(order.order_id)
        news = await asyncio.gather(*waiting)

    assert {tuple(row["type"] for row in rows) for rows in news} == {("order.confirmed",)}
    questions = [statement for statement in statements if "AS newest" in statement]
    assert len(questions) <= 2  # before it happened, and after
    for one in told:
        await one.aclose()


async def test_whoever_asks_while_another_question_is_on_its_way_still_hears_what_came_after_it(
    resources: Resources, order: AnOrder
) -> None:
    followers = followers_of(resources)
    first, second = (followers.told(followers.admit(order.order_id, "somebody", after=0)) for _ in range(2))
    assert [row["type"] for row in await anext(first)] == ["order.placed"]
    later = asyncio.ensure_future(anext(first))
    earlier = asyncio.ensure_future(anext(second))
    await confirm(resources, order)
    followers.hear(order.order_id)

    assert [row["type"] for row in await later] == ["order.confirmed"]
    assert next(row["type"] for row in await earlier) == "order.placed"
    for one in (first, second):
        await one.aclose()


async def test_in_silence_a_comment_is_sent_at_times(other: httpx.AsyncClient, order: AnOrder) -> None:
    async with following(other, order) as stream:
        assert await stream.types(1) == ["order.placed"]
        lines = [await stream.line() for _ in range(4)]
    assert [line for line in lines if line] == [": ", ": "]


async def test_for_whoever_reads_nothing_no_more_is_kept_than_fits_and_they_go_on_where_they_were(
    other: httpx.AsyncClient, resources: Resources, order: AnOrder
) -> None:
    async with resources.sessions.begin() as session:
        await orders.locked(session, order.order_id)
        for _ in range(60):
            await orders.record(session, order.order_id, "order.claimed", actor=f"customer:{uuid4()}")
    page = (await other.get(events_of(order), params={"cart": str(order.cart_id), "limit": 100})).json()["items"]
    path = f"{events_of(order)}?cart={order.cart_id}"
    await all_gone(other)

    _, writer = await asyncio.open_connection(other.base_url.host, other.base_url.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\nAccept: text/event-stream\r\n\r\n".encode())
    await all_gone(other)
    writer.close()

    heard: list[dict[str, Any]] = []
    streams = 0
    while len(heard) < len(page):
        last = {"Last-Event-ID": str(heard[-1]["id"])} if heard else {}
        async with following(other, order, last) as again:
            streams += 1
            while len(heard) < len(page) and (message := await again.message()) is not None:
                heard.append(json.loads(message["data"]))
    assert heard == page
    assert streams == 3


async def test_a_process_that_stops_ends_its_streams_and_waits_for_none(
    environment: dict[str, str], resources: Resources, order: AnOrder, tmp_path: Any
) -> None:
    port = free_port()
    own, url = {**environment, "APP_API__PORT": str(port)}, f"http://127.0.0.1:{port}"
    with process("cli", "api", environment=own, ready=answers(f"{url}/health"), log=tmp_path / "api.log") as child:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http, following(http, order) as stream:
            assert await stream.types(1) == ["order.placed"]
            child.send_signal(signal.SIGTERM)
            assert await stream.message() is None  # an end, and no broken connection
            assert 1000 <= stream.comes_again_ms < 3000
        assert await asyncio.to_thread(child.wait, 30) == 0


@pytest.mark.parametrize(
    ("path", "accept", "is_one"),
    [
        ("/v1/orders/1/events", b"text/event-stream", True),
        ("/v1/orders/1/events", b"text/event-stream, */*", True),
        ("/v1/orders/1/events", b"application/json", False),
        ("/v1/orders/1/events", b"*/*", False),
        ("/v1/orders/1", b"text/event-stream", False),
        ("/v1/carts/1/events", b"text/event-stream", False),
    ],
)
def test_only_a_timeline_is_streamed_and_only_to_who_asks_for_it(path: str, accept: bytes, *, is_one: bool) -> None:
    scope: Any = {"path": path, "headers": [(b"accept", accept)]}

    assert is_stream_wanted(scope) is is_one
