"""Which version of an order a change may be based on."""

from dataclasses import replace
from typing import Any

import pytest

from db import address_changes, audit_log, cancellations, order_holds, order_views
from db.base import new_id
from domain.errors import Refusal
from domain.shipping import HoldOrder, ReleaseOrder
from runtime.resources import Resources
from tests.db.test_address_changes import an_order, wished
from tests.db.test_cancellations import to_cancel as to_cancel_units
from tests.db.test_parcels import do
from tests.support.orders import AnOrder, lines_of


async def to_hold(resources: Resources, order: AnOrder) -> HoldOrder:
    async with resources.sessions.begin() as session:
        note_id = await audit_log.note(session, "operator:1", "hold", order_id=order.order_id, words="a test")
    return HoldOrder(order_id=order.order_id, actor="operator:1", note_id=note_id)


async def an_edit(resources: Resources, order: AnOrder, what: str) -> tuple[Any, Any]:
    """What carries it out, and its request."""
    match what:
        case "send elsewhere":
            return address_changes.apply, await wished(resources, order)
        case "cancel units":
            [line] = (await lines_of(resources.sessions, order)).values()
            return cancellations.cancel_units, await to_cancel_units(resources, order, (line, 1))
        case "hold":
            return order_holds.hold, await to_hold(resources, order)
    await do(resources, order_holds.hold, await to_hold(resources, order))
    return order_holds.release, ReleaseOrder(order_id=order.order_id, actor="operator:1")


async def shown(resources: Resources, order: AnOrder) -> dict[str, Any]:
    async with resources.sessions() as session:
        found = await order_views.order(session, order.order_id)
    assert found is not None
    return dict(found)


@pytest.mark.parametrize("what", ["send elsewhere", "cancel units", "hold", "release"])
async def test_a_change_counts_once_and_only_for_the_version_that_it_is_based_on(
    resources: Resources, what: str
) -> None:
    order = await an_order(resources)
    carry_out, request = await an_edit(resources, order, what)
    before = await shown(resources, order)

    with pytest.raises(Refusal) as refusal:
        await do(resources, carry_out, replace(request, expected=[before["version"] - 1]))

    assert refusal.value.code == "precondition_failed"
    assert await shown(resources, order) == before
    wish = replace(request, expected=[before["version"]])
    await do(resources, carry_out, wish)
    after = await shown(resources, order)
    assert after["version"] == before["version"] + 1
    await do(resources, carry_out, wish)  # once more, as when the answer got lost
    assert await shown(resources, order) == after


async def test_somebody_elses_hold_is_not_taken_for_ones_own(resources: Resources) -> None:
    order = await an_order(resources)
    version = (await shown(resources, order))["version"]
    await do(resources, order_holds.hold, replace(await to_hold(resources, order), expected=[version]))

    with pytest.raises(Refusal) as refusal:
        await do(resources, order_holds.hold, replace(await to_hold(resources, order), expected=[version]))

    assert refusal.value.code == "precondition_failed"
    nobody_knows = HoldOrder(order_id=order.order_id, actor="operator:1", note_id=new_id())
    assert (await do(resources, order_holds.hold, nobody_knows)).is_held
