"""What orders become, each step once however often it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from db import orders
from db.orders import record
from domain.errors import Refusal
from domain.inventory import StockLevel
from domain.money import Money
from domain.orders import AwaitCustomer, AwaitProvider, CancelReason, OrderState, OrderStatus, PlaceOrder
from domain.payments import Answer, MoneyBack, PaymentAuthorization, PaymentStatus
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.orders import (
    AnOrder,
    a_cart,
    a_confirmed_order,
    a_placed_order,
    place,
    timeline_of,
    to_cancel,
    to_confirm,
    to_place,
    written_about,
)
from tests.support.roles import signed_in

DECLINED = PaymentAuthorization(answer=Answer.DECLINED, reference="pi_declined", decline_code="lost_card")


async def do(resources: Resources, step: Callable[[Any, Any], Awaitable[OrderState]], request: Any) -> OrderState:
    async with resources.sessions.begin() as session:
        return await step(session, request)


async def twice(resources: Resources, order: AnOrder, step: Callable[[Any, Any], Any], request: Any) -> OrderState:
    """What the step leaves; a second time it answers the same and changes nothing."""
    first = await do(resources, step, request)
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert await do(resources, step, request) == first
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before
    return first


async def unchanged_by(resources: Resources, order: AnOrder, step: Callable[[Any, Any], Any], request: Any) -> Refusal:
    """Why the step was refused; it must have left everything as it was."""
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    with pytest.raises(Refusal) as refused:
        await do(resources, step, request)
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before
    return refused.value


async def test_confirmed_twice_is_confirmed_once(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 2))

    state = await twice(resources, order, orders.confirm, to_confirm(order))

    assert (state.status, state.payment_status) == (OrderStatus.CONFIRMED, PaymentStatus.AUTHORIZED)
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.payment is not None
    assert written.payment[:5] == ("authorized", order.reference, 2499, 0, 0)
    assert written.cart is not None
    assert written.cart[1] == order.order_id
    assert written.cart[2] is not None
    assert written.holds == ((product.variant_id, 2, 0, 0, True),)  # paid goods are held for as long as it takes
    assert await timeline_of(resources.sessions, order.order_id) == ["order.placed", "order.confirmed"]


@pytest.mark.matrix("checkout: a worker is killed while it confirms the order")
async def test_confirmed_twenty_times_at_once_is_confirmed_once(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    states = await asyncio.gather(*(do(resources, orders.confirm, to_confirm(order)) for _ in range(20)))

    assert {state.status for state in states} == {OrderStatus.CONFIRMED}
    assert await timeline_of(resources.sessions, order.order_id) == ["order.placed", "order.confirmed"]


@pytest.mark.matrix("checkout: another amount was authorised than the order costs")
@pytest.mark.parametrize("held", [1498, 1500])
async def test_an_order_is_confirmed_for_no_other_amount_than_it_costs(resources: Resources, held: int) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    refusal = await unchanged_by(resources, order, orders.confirm, to_confirm(order, amount_minor=held))

    assert refusal.code == "amount_mismatch"


async def test_a_cancelled_order_is_not_confirmed(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    await do(resources, orders.cancel, to_cancel(order))

    refusal = await unchanged_by(resources, order, orders.confirm, to_confirm(order))

    assert refusal.code == "order_transition_not_allowed"
    assert refusal.facts == {"current_status": "cancelled", "allowed": []}


async def test_cancelling_an_unpaid_order_opens_its_cart_and_frees_its_goods_once(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 2))

    state = await twice(
        resources,
        order,
        orders.cancel,
        to_cancel(order, reason=CancelReason.PAYMENT_DECLINED, money=MoneyBack.NOTHING_TAKEN, declined=DECLINED),
    )

    assert (state.status, state.payment_status) == (OrderStatus.CANCELLED, PaymentStatus.FAILED)
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.order is not None
    assert written.order[4] == "payment_declined"
    assert written.payment is not None
    assert (written.payment[0], written.payment[1], written.payment[5]) == ("failed", "pi_declined", "lost_card")
    assert written.cart is not None
    assert written.cart[1:] == (None, None)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
    assert await timeline_of(resources.sessions, order.order_id) == ["order.placed", "order.cancelled"]


async def test_the_cart_of_a_cancelled_unpaid_order_can_be_ordered_again_as_another_order(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 2))
    await do(resources, orders.cancel, to_cancel(order))

    again = await to_place(resources.sessions, order.cart_id)
    await place(resources.sessions, again)

    assert again.order_id != order.order_id
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=2)


async def test_cancelling_a_confirmed_order_keeps_its_cart_closed(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))

    state = await twice(resources, order, orders.cancel, to_cancel(order))

    assert (state.status, state.payment_status) == (OrderStatus.CANCELLED, PaymentStatus.VOIDED)
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.cart is not None
    assert written.cart[1] == order.order_id
    assert written.cart[2] is not None
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_cancelled_by_twenty_at_once_gives_the_goods_back_once(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))

    await asyncio.gather(*(do(resources, orders.cancel, to_cancel(order)) for _ in range(20)))

    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
    assert (await timeline_of(resources.sessions, order.order_id)).count("order.cancelled") == 1


async def test_confirming_and_cancelling_at_once_leave_one_of_two_worlds(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=100)

    for _ in range(20):
        order = await a_placed_order(resources.sessions, (product.variant_id, 1))
        await asyncio.gather(
            do(resources, orders.confirm, to_confirm(order)),
            do(resources, orders.cancel, to_cancel(order)),
            return_exceptions=True,
        )
        assert (await written_about(resources.sessions, order.order_id, order.cart_id)).status is OrderStatus.CANCELLED

    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=100, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=100, reserved=0)


async def test_a_refund_is_noted_as_all_the_money_there_and_back(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))

    state = await do(resources, orders.cancel, to_cancel(order, money=MoneyBack.REFUNDED))

    assert state.payment_status is PaymentStatus.REFUNDED
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.payment is not None
    assert written.payment[2:5] == (1499, 1499, 1499)


async def never_placed(resources: Resources) -> tuple[PlaceOrder, AnOrder, AProduct]:
    """A wish that was taken in, and the order that it would become."""
    product = await a_product(resources.sessions, price="10.00", stock=5)
    request = await to_place(resources.sessions, await a_cart(resources.sessions, (product.variant_id, 1)))
    order = AnOrder(
        order_id=request.order_id,
        order_number=request.order_number,
        payment_id=request.payment_id,
        cart_id=request.cart_id,
        total=Money(1499, "USD"),
        reference="pi_never",
    )
    return request, order, product


async def test_cancelling_an_order_that_was_never_placed_lets_its_cart_start_again(resources: Resources) -> None:
    request, order, _ = await never_placed(resources)

    state = await twice(resources, order, orders.cancel, to_cancel(order, money=MoneyBack.NOTHING_TAKEN))

    assert state.status is OrderStatus.CANCELLED
    assert (await written_about(resources.sessions, order.order_id, order.cart_id)).order is None
    again = await to_place(resources.sessions, order.cart_id)
    assert again.order_id != request.order_id


async def test_an_order_that_is_placed_after_it_was_cancelled_is_refused(resources: Resources) -> None:
    request, order, product = await never_placed(resources)
    await do(resources, orders.cancel, to_cancel(order, money=MoneyBack.NOTHING_TAKEN))

    with pytest.raises(Refusal) as refused:
        await place(resources.sessions, request)

    assert refused.value.code == "checkout_cancelled"
    assert (await written_about(resources.sessions, order.order_id, order.cart_id)).order is None
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_a_placement_that_crosses_its_cancellation_leaves_nothing_behind(resources: Resources) -> None:
    for _ in range(20):
        request, order, product = await never_placed(resources)
        await asyncio.gather(
            place(resources.sessions, request),
            do(resources, orders.cancel, to_cancel(order, money=MoneyBack.NOTHING_TAKEN)),
            return_exceptions=True,
        )
        written = await written_about(resources.sessions, order.order_id, order.cart_id)
        assert written.status in (None, OrderStatus.CANCELLED)
        assert written.cart is not None
        assert written.cart[1] is None
        assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_a_payer_who_must_act_is_noted_once(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    authorization = PaymentAuthorization(
        answer=Answer.REQUIRES_ACTION, reference=order.reference, redirect_url="https://bank.example/3ds"
    )
    request = AwaitCustomer(order_id=order.order_id, payment_id=order.payment_id, authorization=authorization)

    state = await twice(resources, order, orders.await_customer, request)

    assert (state.status, state.payment_status) == (OrderStatus.PENDING, PaymentStatus.REQUIRES_ACTION)
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.payment is not None
    assert (written.payment[0], written.payment[1], written.payment[6]) == (
        "requires_action",
        order.reference,
        "https://bank.example/3ds",
    )
    await do(resources, orders.confirm, to_confirm(order))
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.payment is not None
    assert written.payment[6] is None


async def test_the_wait_for_a_payer_noted_late_does_not_reopen_a_confirmed_order(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    late = PaymentAuthorization(answer=Answer.REQUIRES_ACTION, reference=order.reference)

    state = await do(
        resources,
        orders.await_customer,
        AwaitCustomer(order_id=order.order_id, payment_id=order.payment_id, authorization=late),
    )

    assert state.status is OrderStatus.CONFIRMED
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE order_events SET type = 'order.forgotten' WHERE order_id = :id",
        "DELETE FROM order_events WHERE order_id = :id",
    ],
)
async def test_the_timeline_is_append_only(resources: Resources, statement: str) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    with pytest.raises(DBAPIError, match="permission denied"):
        async with resources.sessions.begin() as session:
            await session.execute(text(statement), {"id": order.order_id})
    async with signed_in(resources.settings.database.owner_url) as owner:
        with pytest.raises(DBAPIError, match="append-only"):
            await owner.execute(text(statement), {"id": order.order_id})

    assert await timeline_of(resources.sessions, order.order_id) == ["order.placed"]


async def test_events_of_one_order_are_numbered_without_gaps(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    async def note() -> None:
        async with resources.sessions.begin() as session:
            await orders.locked(session, order.order_id)
            await record(session, order.order_id, "order.payment_renewed")

    await asyncio.gather(*(note() for _ in range(20)))

    async with resources.sessions() as session:
        numbers = await session.scalars(
            text("SELECT sequence FROM order_events WHERE order_id = :id ORDER BY sequence"), {"id": order.order_id}
        )
    assert list(numbers) == list(range(1, 22))


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("total = total + 1", "total_adds_up"),
        ("discount = -1, total = subtotal + 1 + shipping + tax", "amounts_not_negative"),
        ("status = 'cancelled'", "cancelled_has_reason"),
        ("cancel_reason = 'customer'", "cancelled_has_reason"),
        ("status = 'lost'", "ck_orders_status"),
        ("payment_status = 'stolen'", "payment_status"),
    ],
)
async def test_the_database_itself_refuses_an_order_that_cannot_be(
    resources: Resources, change: str, constraint: str
) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    before = await written_about(resources.sessions, order.order_id, order.cart_id)

    with pytest.raises(IntegrityError, match=constraint):
        async with resources.sessions.begin() as session:
            await session.execute(
                text(f"UPDATE orders SET {change} WHERE id = :id"),  # noqa: S608 (the test's own text)
                {"id": order.order_id},
            )

    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before


@pytest.mark.parametrize("change", ["line_total = line_total + 1", "quantity = 0, line_total = 0"])
async def test_the_database_itself_refuses_a_line_that_does_not_add_up(resources: Resources, change: str) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    with pytest.raises(IntegrityError):
        async with resources.sessions.begin() as session:
            await session.execute(
                text(f"UPDATE order_lines SET {change} WHERE order_id = :id"),  # noqa: S608 (the test's own text)
                {"id": order.order_id},
            )


async def hold_of(resources: Resources, order: AnOrder) -> int:
    """Minutes that the order may still keep its goods."""
    async with resources.sessions() as session:
        left = await session.scalar(
            text("SELECT extract(epoch FROM min(expires_at) - now()) / 60 FROM stock_holds WHERE order_id = :id"),
            {"id": order.order_id},
        )
        assert left is not None
        minutes: int = round(left)
        return minutes


async def pending_step_of(resources: Resources, order: AnOrder) -> str | None:
    async with resources.sessions() as session:
        step: str | None = await session.scalar(
            text("SELECT pending_step FROM orders WHERE id = :id"), {"id": order.order_id}
        )
        return step


async def test_a_payment_that_nobody_knows_about_is_noted_once_and_keeps_its_goods_longer(
    resources: Resources,
) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    assert await hold_of(resources, order) == 35
    request = AwaitProvider(order_id=order.order_id, hold_seconds=65 * 60)

    state = await twice(resources, order, orders.await_provider, request)

    assert (state.status, state.payment_status) == (OrderStatus.PENDING, PaymentStatus.PENDING)
    assert await pending_step_of(resources, order) == "payment_unknown"
    assert await hold_of(resources, order) == 65
    await do(resources, orders.await_provider, AwaitProvider(order_id=order.order_id, hold_seconds=60))
    assert await hold_of(resources, order) == 65
    assert await timeline_of(resources.sessions, order.order_id) == ["order.placed", "order.payment_unknown"]


@pytest.mark.parametrize("end", ["confirm", "cancel", "await_customer"])
async def test_a_payment_is_not_unknown_any_more_once_the_provider_has_said_what_it_did(
    resources: Resources, end: str
) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    note = AwaitProvider(order_id=order.order_id, hold_seconds=60)
    await do(resources, orders.await_provider, note)
    must_act = PaymentAuthorization(answer=Answer.REQUIRES_ACTION, reference=order.reference)
    requests = {
        "confirm": to_confirm(order),
        "cancel": to_cancel(order),
        "await_customer": AwaitCustomer(order_id=order.order_id, payment_id=order.payment_id, authorization=must_act),
    }

    await do(resources, getattr(orders, end), requests[end])

    assert await pending_step_of(resources, order) is None
    if end != "await_customer":
        await unchanged(resources, order, orders.await_provider, note)


async def unchanged(resources: Resources, order: AnOrder, step: Callable[[Any, Any], Any], request: Any) -> None:
    """The step is content, and leaves everything as it was."""
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    await do(resources, step, request)
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before


async def test_only_pending_orders_have_a_pending_step(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))

    async with resources.sessions() as session:
        with pytest.raises(IntegrityError, match="pending_step_is_of_pending"):
            await session.execute(
                text("UPDATE orders SET pending_step = 'payment_unknown' WHERE id = :id"), {"id": order.order_id}
            )
