"""Two people who change the same order: nobody overwrites what they have not seen."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_operators import LABEL, Desk, an_order, is_problem
from tests.support.catalog import a_product
from tests.support.shopper import ADDRESS
from tests.support.staff import headers_of

Edit = Callable[[httpx.AsyncClient, dict[str, Any], dict[str, str]], Awaitable[httpx.Response]]


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


async def send_elsewhere(api: httpx.AsyncClient, order: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    address = {**ADDRESS, "line1": f"{uuid4().hex[:6]} Planted Street"}
    return await api.put(f"/v1/orders/{order['id']}/shipping-address", json=address, headers=headers)


async def cancel_a_unit(api: httpx.AsyncClient, order: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    units = [{"order_item_id": order["items"][0]["id"], "quantity": 1}]
    body = {"reason": "one too many", "items": units}
    return await api.post(f"/v1/orders/{order['id']}/cancel", json=body, headers=headers)


async def cancel(api: httpx.AsyncClient, order: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    return await api.post(f"/v1/orders/{order['id']}/cancel", json={"reason": "a test"}, headers=headers)


async def hold(api: httpx.AsyncClient, order: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    return await api.post(f"/v1/admin/orders/{order['id']}/hold", json={"reason": "a test"}, headers=headers)


async def release(api: httpx.AsyncClient, order: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    return await api.post(f"/v1/admin/orders/{order['id']}/release", headers=headers)


EDITS = [send_elsewhere, cancel_a_unit, cancel, hold, release]


async def seen(api: httpx.AsyncClient, order: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    return await api.get(f"/v1/orders/{order['id']}", headers=headers)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "a-name"}], ids=["", "named"])
async def test_an_edit_of_what_has_changed_since_it_was_read_changes_nothing(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, edit: Edit, key: dict[str, str]
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, stock=9), 3))
    if edit is release:
        assert (await hold(api, order, desk.headers)).status_code == 200
    read = await seen(api, order, desk.headers)
    assert (await send_elsewhere(api, order, desk.headers)).status_code == 200
    now = await seen(api, order, desk.headers)
    assert now.json()["version"] == read.json()["version"] + 1
    names = {name: f"{value}-{uuid4()}" for name, value in key.items()}

    late = await edit(api, order, {**desk.headers, **names, "If-Match": read.headers["ETag"]})

    is_problem(late, 412, "precondition_failed")
    after = await seen(api, order, desk.headers)
    assert (after.json(), after.headers["ETag"]) == (now.json(), now.headers["ETag"])

    done = await edit(api, order, {**desk.headers, **names, "If-Match": now.headers["ETag"]})

    assert (done.status_code, done.json()["version"] > now.json()["version"]) == (200, True), done.text
    assert done.headers["ETag"].startswith(f'"{done.json()["version"]}-')


@pytest.mark.parametrize("edit", [send_elsewhere, cancel_a_unit, hold, release])
async def test_of_two_operators_who_change_the_same_order_at_once_one_wins(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, edit: Edit
) -> None:
    other = await headers_of(resources, Role.OPERATOR)
    order = await an_order(api, (await a_product(resources.sessions, stock=9), 5))
    if edit is release:
        assert (await hold(api, order, desk.headers)).status_code == 200
    read = await seen(api, order, desk.headers)
    known = {"If-Match": read.headers["ETag"]}

    answers = await asyncio.gather(*(edit(api, order, {**headers, **known}) for headers in (desk.headers, other)))

    [won] = [answer for answer in answers if answer.status_code == 200]
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    after = (await seen(api, order, desk.headers)).json()
    assert after == won.json()
    assert after["version"] == read.json()["version"] + 1
    assert sum(item["cancelled_quantity"] for item in after["items"]) == (1 if edit is cancel_a_unit else 0)


async def test_whoever_names_no_version_changes_whatever_is_there(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, stock=9), 5))

    for headers in (
        desk.headers,
        {**desk.headers, "If-Match": "*"},
        {**desk.headers, "If-Match": '"1", "2", "3", "4"'},
    ):
        assert (await send_elsewhere(api, order, headers)).status_code == 200


async def test_every_change_of_an_order_raises_its_version(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, stock=9), 3))
    path, versions = f"/orders/{order['id']}", [order["version"]]

    async def next_version() -> None:
        versions.append((await desk.order(order))["version"])

    parcel = await desk.packs(order)
    await next_version()
    await desk.post(f"/fulfillments/{parcel}/ship", LABEL)
    await next_version()
    await desk.post(f"/fulfillments/{parcel}/deliver")
    await next_version()
    await desk.post(f"{path}/refunds", {"amount": {"amount": "1.00", "currency": "USD"}, "reason": "a test"})
    await next_version()
    line = {"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": "too small"}
    back = await api.post(f"/v1/orders/{order['id']}/returns", json={"items": [line]}, headers=desk.headers)
    await next_version()
    await desk.post(f"/returns/{back.json()['id']}/approve")
    await next_version()

    assert versions == sorted(set(versions))
    events = (await api.get(f"/v1/orders/{order['id']}/events", headers=desk.headers)).json()["items"]
    assert versions[-1] == events[-1]["id"] == len(events)
