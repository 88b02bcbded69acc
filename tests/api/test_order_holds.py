"""Orders that the shop looks into before anything of them leaves."""

import httpx
import pytest
from sqlalchemy import text

from runtime.resources import Resources
from tests.api.test_operators import LABEL, Desk, an_order, is_problem
from tests.support.catalog import a_product
from tests.support.ledger import moved


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


async def test_a_held_order_is_not_shipped_until_it_is_released(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, price="10.00", stock=5), 2))
    parcel = await desk.packs(order)

    held = await desk.post(f"/orders/{order['id']}/hold", {"reason": "the address is a forwarder's"})

    assert (held.status_code, held.json()["is_held"]) == (200, True), held.text
    again = await desk.post(f"/orders/{order['id']}/hold", {"reason": "once more"})
    assert (again.status_code, again.json()["is_held"]) == (200, True)
    refused = await desk.post(f"/fulfillments/{parcel}/ship", LABEL)
    assert is_problem(refused, 409, "order_held")["reason"] == "the address is a forwarder's"
    assert await moved(sandbox, order) == [("authorize", 2499)]
    explained = (await api.get(f"/v1/admin/orders/{order['id']}/explain", headers=desk.headers)).json()
    assert explained["waits_for"] == "an operator, who has to release it"
    assert explained["hold"]["reason"] == "the address is a forwarder's"

    released = await desk.post(f"/orders/{order['id']}/release")

    assert (released.status_code, released.json()["is_held"]) == (200, False)
    await desk.ships(parcel)
    assert await moved(sandbox, order) == [("authorize", 2499), ("capture", 2499)]
    is_problem(await desk.post(f"/orders/{order['id']}/hold", {"reason": "late"}), 409, "order_transition_not_allowed")
    async with resources.autocommit() as session:
        asked = await session.execute(
            text("SELECT action, note FROM audit_log WHERE order_id = :id ORDER BY id"), {"id": order["id"]}
        )
        assert [tuple(row) for row in asked if row.action in ("hold", "release")] == [
            ("hold", "the address is a forwarder's"),
            ("release", None),
        ]
    told = (await api.get(f"/v1/orders/{order['id']}/events", headers=desk.headers)).json()["items"]
    kinds = [event["type"] for event in told]
    assert [kind for kind in kinds if kind in ("order.held", "order.released")] == ["order.held", "order.released"]
