"""Parcels that have left and will not arrive."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from db import cancellations, parcels, refunds, undelivered
from domain.inventory import StockLevel
from domain.orders import OrderStatus
from domain.refunds import PaymentRefund, SettleRefund
from domain.shipping import FulfillmentStatus, GiveUpParcel, ParcelGivenUp, Remedy, ShipmentCharge, Undelivered
from runtime.resources import Resources
from tests.db.test_cancellations import to_cancel
from tests.db.test_parcels import do, refused
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.orders import (
    AnOrder,
    a_confirmed_order,
    lines_of,
    timeline_of,
    to_move,
    to_plan,
    to_ship,
    written_about,
)

DAMAGED, AS_NEW = False, True


@pytest.fixture
async def product(resources: Resources) -> AProduct:
    return await a_product(resources.sessions, price="10.00", stock=9)


@pytest.fixture
async def order(resources: Resources, product: AProduct) -> AnOrder:
    """3 x 10.00, and 4.99 for shipping: 34.99."""
    return await a_confirmed_order(resources.sessions, (product.variant_id, 3))


async def sent(resources: Resources, order: AnOrder, *items: Any) -> UUID:
    plan = to_plan(order, *items)
    await do(resources, parcels.plan, plan)
    await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id))
    await do(resources, parcels.ship, to_ship(order, plan.fulfillment_id))
    return plan.fulfillment_id


def to_give_up(
    order: AnOrder, parcel: UUID, remedy: Remedy, *, why: Undelivered = Undelivered.LOST, is_resellable: bool = False
) -> GiveUpParcel:
    return GiveUpParcel(
        order_id=order.order_id,
        fulfillment_id=parcel,
        why=why,
        remedy=remedy,
        is_resellable=is_resellable,
        replacement_id=uuid4(),
        refund_id=uuid4(),
        actor="operator:1",
    )


async def given_up(resources: Resources, order: AnOrder, request: GiveUpParcel) -> ParcelGivenUp:
    """What the step leaves; a second time it answers the same and changes nothing."""
    first: ParcelGivenUp = await do(resources, undelivered.give_up, request)
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    again = replace(request, replacement_id=uuid4(), refund_id=uuid4())
    assert await do(resources, undelivered.give_up, again) == first
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before
    return first


async def states_of(resources: Resources, order: AnOrder) -> tuple[Any, ...]:
    """Of the order, its payment and its parcels."""
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.order is not None
    return written.order[:3]


async def test_a_lost_parcel_is_sent_again_and_not_charged_again(
    resources: Resources, product: AProduct, order: AnOrder
) -> None:
    parcel = await sent(resources, order)
    request = to_give_up(order, parcel, Remedy.RESHIP)

    told = await given_up(resources, order, request)

    assert (told.state.status, told.refund) == (FulfillmentStatus.CANCELLED, None)
    assert await states_of(resources, order) == ("shipped", "captured", "partially_shipped")
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=6, reserved=3)
    charge: ShipmentCharge = await do(resources, parcels.charge, to_ship(order, request.replacement_id))
    assert charge.amount.minor == 0
    await do(resources, parcels.ship, to_ship(order, request.replacement_id))
    state = await do(resources, parcels.deliver, to_move(order, request.replacement_id))
    assert state.order_status is OrderStatus.DELIVERED
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.payment is not None
    assert written.payment[3] == 3499
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)


async def test_what_is_sent_again_may_be_lost_again(resources: Resources, product: AProduct, order: AnOrder) -> None:
    parcel = await sent(resources, order)
    for _ in range(2):
        request = to_give_up(order, parcel, Remedy.RESHIP)
        await given_up(resources, order, request)
        await do(resources, parcels.charge, to_ship(order, request.replacement_id))
        await do(resources, parcels.ship, to_ship(order, request.replacement_id))
        parcel = request.replacement_id

    assert await states_of(resources, order) == ("shipped", "captured", "shipped")
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=0, reserved=0)


@pytest.mark.parametrize("is_resellable", [AS_NEW, DAMAGED])
async def test_goods_that_come_back_are_sold_again_only_as_new(
    resources: Resources, product: AProduct, order: AnOrder, *, is_resellable: bool
) -> None:
    parcel = await sent(resources, order)
    request = to_give_up(order, parcel, Remedy.REFUND, why=Undelivered.RETURNED_TO_SENDER, is_resellable=is_resellable)

    await given_up(resources, order, request)

    back = 3 if is_resellable else 0
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=6 + back, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=6 + back, reserved=0)


async def test_an_order_of_which_nothing_arrives_is_over_and_all_its_money_goes_back(
    resources: Resources, order: AnOrder
) -> None:
    parcel = await sent(resources, order)

    told = await given_up(resources, order, to_give_up(order, parcel, Remedy.REFUND))

    assert told.state.order_status is OrderStatus.CANCELLED
    assert told.refund is not None
    assert told.refund.amount.minor == 3499  # the costs of shipping as well
    assert await states_of(resources, order) == ("cancelled", "captured", "cancelled")
    settled = SettleRefund(
        refund_id=told.refund.refund_id,
        order_id=order.order_id,
        outcome=PaymentRefund(is_refunded=True, reference=f"re_{uuid4().hex}"),
    )
    await do(resources, refunds.settle, settled)
    assert await states_of(resources, order) == ("cancelled", "refunded", "cancelled")
    timeline = await timeline_of(resources.sessions, order.order_id)
    assert timeline[-4:] == ["fulfillment.lost", "order.cancelled", "refund.requested", "refund.succeeded"]


async def test_of_two_parcels_the_lost_one_is_refunded_and_the_order_ends_with_the_other(
    resources: Resources, order: AnOrder
) -> None:
    [line] = (await lines_of(resources.sessions, order)).values()
    first, second = await sent(resources, order, (line, 1)), await sent(resources, order)

    told = await given_up(resources, order, to_give_up(order, first, Remedy.REFUND))

    assert told.refund is not None
    assert told.refund.amount.minor == 1000
    assert await states_of(resources, order) == ("shipped", "captured", "shipped")
    state = await do(resources, parcels.deliver, to_move(order, second))
    assert state.order_status is OrderStatus.DELIVERED


async def test_sending_again_may_be_thought_over_while_the_replacement_is_here(
    resources: Resources, product: AProduct, order: AnOrder
) -> None:
    parcel = await sent(resources, order)
    request = to_give_up(order, parcel, Remedy.RESHIP)
    await given_up(resources, order, request)

    told = await given_up(resources, order, to_give_up(order, parcel, Remedy.REFUND))

    assert told.refund is not None
    assert told.refund.amount.minor == 3499
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=6, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=6, reserved=0)
    refusal = await refused(resources, order, parcels.charge, to_ship(order, request.replacement_id))
    assert refusal.code == "order_transition_not_allowed"


async def test_it_is_too_late_to_refund_what_has_been_sent_again(resources: Resources, order: AnOrder) -> None:
    parcel = await sent(resources, order)
    request = to_give_up(order, parcel, Remedy.RESHIP)
    await do(resources, undelivered.give_up, request)
    await do(resources, parcels.ship, to_ship(order, request.replacement_id))

    refusal = await refused(resources, order, undelivered.give_up, to_give_up(order, parcel, Remedy.REFUND))

    assert refusal.code == "order_transition_not_allowed"
    assert refusal.facts == {"current_status": "shipped", "allowed": ["cancelled", "delivered"]}


async def test_a_replacement_is_neither_unpacked_nor_cancelled(resources: Resources, order: AnOrder) -> None:
    [line] = (await lines_of(resources.sessions, order)).values()
    parcel = await sent(resources, order, (line, 1))
    request = to_give_up(order, parcel, Remedy.RESHIP)
    await do(resources, undelivered.give_up, request)

    refusal = await refused(resources, order, parcels.cancel, to_move(order, request.replacement_id))
    assert refusal.facts["replaces_id"] == str(parcel)
    too_many = await to_cancel(resources, order, (line, 3))
    refusal = await refused(resources, order, cancellations.cancel_units, too_many)
    assert refusal.facts == {"items": [{"order_item_id": str(line), "cancellable": 2}]}
    # The others can be: the payment is complete with what was captured for the lost one.
    state = await do(resources, cancellations.cancel_units, await to_cancel(resources, order, (line, 2)))
    assert (state.is_everything, state.open_units) == (False, 0)
    await do(resources, parcels.charge, to_ship(order, request.replacement_id))
    sent_again = await do(resources, parcels.ship, to_ship(order, request.replacement_id))
    assert sent_again.order_status is OrderStatus.SHIPPED
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.payment is not None
    assert (written.payment[0], written.payment[3]) == ("captured", 1499)


async def test_the_other_parcels_cost_what_they_would_have_cost(resources: Resources, order: AnOrder) -> None:
    [line] = (await lines_of(resources.sessions, order)).values()
    parcel = await sent(resources, order, (line, 1))
    await do(resources, undelivered.give_up, to_give_up(order, parcel, Remedy.RESHIP))

    plan = to_plan(order)
    await do(resources, parcels.plan, plan)
    charge: ShipmentCharge = await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id))

    assert charge.amount.minor == 2000


async def test_without_goods_nothing_is_sent_again(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=2)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    parcel = await sent(resources, order)

    refusal = await refused(resources, order, undelivered.give_up, to_give_up(order, parcel, Remedy.RESHIP))

    assert refusal.code == "out_of_stock"
    assert refusal.facts["items"][0]["available"] == 0
    back = to_give_up(order, parcel, Remedy.RESHIP, why=Undelivered.RETURNED_TO_SENDER, is_resellable=AS_NEW)
    await given_up(resources, order, back)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=2, reserved=2)


async def test_nothing_is_refunded_while_other_parcels_are_to_leave(resources: Resources, order: AnOrder) -> None:
    [line] = (await lines_of(resources.sessions, order)).values()
    parcel = await sent(resources, order, (line, 1))

    refusal = await refused(resources, order, undelivered.give_up, to_give_up(order, parcel, Remedy.REFUND))

    assert refusal.code == "refund_not_possible_yet"


@pytest.mark.parametrize("is_delivered", [True, False])
async def test_only_a_parcel_on_its_way_is_given_up(
    resources: Resources, order: AnOrder, *, is_delivered: bool
) -> None:
    if is_delivered:
        parcel = await sent(resources, order)
        await do(resources, parcels.deliver, to_move(order, parcel))
    else:
        plan = to_plan(order)
        await do(resources, parcels.plan, plan)
        parcel = plan.fulfillment_id

    refusal = await refused(resources, order, undelivered.give_up, to_give_up(order, parcel, Remedy.RESHIP))

    assert refusal.facts == (
        {"current_status": "delivered", "allowed": []}
        if is_delivered
        else {"current_status": "pending", "allowed": ["cancelled", "shipped"]}
    )
