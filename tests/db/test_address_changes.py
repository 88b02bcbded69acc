"""Orders that are sent elsewhere, as the tables keep them."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from db import address_changes, parcels
from db.base import new_id
from domain.errors import Refusal
from domain.orders import ChangeAddress
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.orders import AnOrder, a_confirmed_order, a_placed_order, timeline_of, to_plan, to_ship
from tests.support.shopper import ADDRESS

ELSEWHERE = {**ADDRESS, "line1": "77 Planted Street", "line2": None, "phone": None}


async def wished(resources: Resources, order: AnOrder, **otherwise: Any) -> ChangeAddress:
    change_id = new_id()
    async with resources.sessions.begin() as session:
        await address_changes.take_in(
            session, change_id, order.order_id, {**ELSEWHERE, **otherwise}, actor="customer:1"
        )
    return ChangeAddress(order_id=order.order_id, change_id=change_id, actor="customer:1")


async def change(resources: Resources, wish: ChangeAddress) -> None:
    async with resources.sessions.begin() as session:
        await address_changes.apply(session, wish)


async def goes_to(resources: Resources, order_id: UUID) -> Any:
    async with resources.sessions() as session:
        return await session.scalar(text("SELECT shipping_address FROM orders WHERE id = :id"), {"id": order_id})


async def an_order(resources: Resources) -> AnOrder:
    product = await a_product(resources.sessions, stock=9)
    return await a_confirmed_order(resources.sessions, (product.variant_id, 2))


async def test_an_order_goes_elsewhere_and_its_timeline_says_so_once_and_not_where(resources: Resources) -> None:
    order = await an_order(resources)
    wish = await wished(resources, order)

    for _ in range(2):
        await change(resources, wish)
    await change(resources, await wished(resources, order))  # the same address once more

    assert await goes_to(resources, order.order_id) == ELSEWHERE
    assert (await timeline_of(resources.sessions, order.order_id)).count("order.address_changed") == 1
    async with resources.sessions() as session:
        told = await session.scalars(
            text("SELECT CAST(payload AS text) FROM outbox WHERE key = :key AND type = 'order.address_changed'"),
            {"key": str(order.order_id)},
        )
        [payload] = told.all()
    assert str(wish.change_id) in payload
    assert "Planted" not in payload


async def test_an_order_that_has_left_or_is_not_confirmed_goes_where_it_goes(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    pending = await a_placed_order(resources.sessions, (product.variant_id, 1))
    shipped = await an_order(resources)
    wish = await wished(resources, shipped)
    plan = to_plan(shipped)
    async with resources.sessions.begin() as session:
        await parcels.plan(session, plan)
        await parcels.charge(session, to_ship(shipped, plan.fulfillment_id))
        await parcels.ship(session, to_ship(shipped, plan.fulfillment_id))

    for order, late in ((pending, await wished(resources, pending)), (shipped, wish)):
        before = await timeline_of(resources.sessions, order.order_id)
        with pytest.raises(Refusal) as refused:
            await change(resources, late)
        assert refused.value.code == "address_not_changeable"
        assert await goes_to(resources, order.order_id) == ADDRESS
        assert await timeline_of(resources.sessions, order.order_id) == before


@pytest.mark.parametrize(
    ("part", "value"), [("country", "CA"), ("region", "WI"), ("region", None), ("postal_code", "99999")]
)
async def test_it_stays_where_shipping_and_taxes_cost_the_same(
    resources: Resources, part: str, value: str | None
) -> None:
    order = await an_order(resources)

    with pytest.raises(Refusal) as refused:
        await wished(resources, order, **{part: value})

    assert [wrong["pointer"] for wrong in refused.value.facts["errors"]] == [f"/{part}"]
    assert await goes_to(resources, order.order_id) == ADDRESS
