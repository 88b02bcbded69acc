"""Parcels that have left and will not arrive: sent again, or refunded."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_operators import UNKNOWN, Desk, an_order, is_problem
from tests.support.catalog import a_product, ledger_of, stock_of
from tests.support.ledger import held, kept, moved
from tests.support.waiting import eventually


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


@pytest.fixture
async def order(api: httpx.AsyncClient, resources: Resources) -> dict[str, Any]:
    """2 x 10.00, and 4.99 for shipping: 24.99, confirmed."""
    return await an_order(api, (await a_product(resources.sessions, price="10.00", stock=9), 2))


def variant_of(order: dict[str, Any]) -> UUID:
    return UUID(order["items"][0]["variant_id"])


@pytest.mark.matrix("ship: the parcel is lost, or comes back")
async def test_a_lost_parcel_is_sent_again_at_no_charge(
    sandbox: httpx.AsyncClient, resources: Resources, desk: Desk, order: dict[str, Any]
) -> None:
    parcel = await desk.packs(order)
    await desk.ships(parcel)

    lost = await desk.post(f"/fulfillments/{parcel}/lost", {"remedy": "reship"})

    assert lost.status_code == 200, lost.text
    assert {name: lost.json()[name] for name in ("status", "undelivered", "remedy", "replaces_id")} == {
        "status": "cancelled",
        "undelivered": "lost",
        "remedy": "reship",
        "replaces_id": None,
    }
    between = await desk.order(order)
    assert (between["status"], between["fulfillment_status"]) == ("shipped", "partially_shipped")
    [replacement] = [known for known in between["fulfillments"] if known["replaces_id"] == parcel]
    assert replacement["items"] == lost.json()["items"]
    is_problem(await desk.post(f"/fulfillments/{replacement['id']}/cancel"), 409, "order_transition_not_allowed")
    again = await desk.post(f"/fulfillments/{parcel}/lost", {"remedy": "reship"})
    assert (again.status_code, again.json()) == (200, lost.json())
    await desk.ships(replacement["id"])
    await desk.post(f"/fulfillments/{replacement['id']}/deliver")
    assert (await desk.order(order))["status"] == "delivered"
    assert await moved(sandbox, order) == [("authorize", 2499), ("capture", 2499)]
    assert await stock_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=5, reserved=0)
    assert await ledger_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=5, reserved=0)


async def test_a_parcel_that_comes_back_is_refunded_and_its_goods_are_sold_again(
    sandbox: httpx.AsyncClient, resources: Resources, desk: Desk, order: dict[str, Any]
) -> None:
    parcel = await desk.packs(order)
    await desk.ships(parcel)

    back = await desk.post(f"/fulfillments/{parcel}/returned-to-sender", {"remedy": "refund"})

    assert (back.status_code, back.json()["undelivered"]) == (200, "returned_to_sender"), back.text

    async def is_refunded() -> bool:
        return bool((await desk.order(order))["payment"]["status"] == "refunded")

    await eventually(is_refunded)
    after = await desk.order(order)
    assert (after["status"], after["cancel_reason"], after["fulfillment_status"]) == (
        "cancelled",
        "undeliverable",
        "cancelled",
    )
    assert [refund["status"] for refund in after["refunds"]] == ["succeeded"]
    assert await moved(sandbox, order) == [("authorize", 2499), ("capture", 2499), ("refund", 2499)]
    assert await stock_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=9, reserved=0)
    again = await desk.post(f"/fulfillments/{parcel}/returned-to-sender", {"remedy": "refund"})
    assert (again.status_code, again.json()) == (200, back.json())
    is_problem(
        await desk.post(f"/fulfillments/{parcel}/lost", {"remedy": "refund"}), 409, "order_transition_not_allowed"
    )


@pytest.mark.matrix("ship: the parcel is lost, or comes back")
async def test_a_lost_parcel_whose_refund_gets_no_answer_is_paid_back_once(
    sandbox: httpx.AsyncClient, desk: Desk, order: dict[str, Any]
) -> None:
    line = order["items"][0]["id"]
    first, second = await desk.packs(order, (line, 1)), await desk.packs(order)
    await desk.ships(first)
    problem = await desk.post(f"/fulfillments/{first}/lost", {"remedy": "refund"})
    is_problem(problem, 409, "refund_not_possible_yet")
    await desk.ships(second)
    faults = {"payments": {"next": [{"operation": "refund", "fault": "drop_response"}]}}
    await sandbox.put("/faults", json=faults)

    assert (await desk.post(f"/fulfillments/{first}/lost", {"remedy": "refund"})).status_code == 200

    async def is_refunded() -> bool:
        return bool((await desk.order(order))["payment"]["refunded"]["amount"] == "10.00")

    await eventually(is_refunded)
    assert (held(await moved(sandbox, order)), kept(await moved(sandbox, order))) == (0, 1499)
    await desk.post(f"/fulfillments/{second}/deliver")
    after = await desk.order(order)
    assert (after["status"], after["payment"]["status"]) == ("delivered", "partially_refunded")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "validation_failed"),
        ({"remedy": "pray"}, 422, "validation_failed"),
        ({"remedy": "reship", "is_resellable": True}, 422, "validation_failed"),
        ({"remedy": "reship"}, 409, "order_transition_not_allowed"),
    ],
)
async def test_what_has_not_left_is_not_lost(
    desk: Desk, order: dict[str, Any], body: dict[str, Any], status: int, code: str
) -> None:
    parcel = await desk.packs(order)
    before = await desk.order(order)

    is_problem(await desk.post(f"/fulfillments/{parcel}/lost", body), status, code)

    assert await desk.order(order) == before


async def test_only_staff_gives_parcels_up(api: httpx.AsyncClient, desk: Desk) -> None:
    path = f"/fulfillments/{UNKNOWN}/lost"
    is_problem(await api.post(f"/v1/admin{path}", json={"remedy": "reship"}), 401, "unauthenticated")
    is_problem(await desk.post(path, {"remedy": "reship"}), 404, "not_found")
