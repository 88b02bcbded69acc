"""Wishes that were taken in while the workflow engine was away: begun once it is back; checkouts also given back.

A loop beside the requests of every API process sees to them, and not a workflow, because it has to work while there is
no engine. A lock in Postgres lets one process at a time look.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy import text
from temporalio.service import RPCError

from api.stories import Stories
from api.tax_questions import is_heard_about
from db import checkouts, exports, imports, orders, placement, refunds, returns
from db.checkouts import Intake, Unstarted
from domain.deadlines import Term
from domain.orders import (
    CancelOrder,
    CancelReason,
    CheckoutOutcome,
    CheckoutStatus,
    PlaceOrder,
    StartCheckout,
    number_of,
)
from domain.payments import MANUAL
from runtime.chores import kept_up
from runtime.resources import Resources
from workflows.checkout import HOLD_SECONDS

log = structlog.get_logger()

OLD_ENOUGH_SECONDS = 5.0
"""Younger checkouts are still in the hands of the request that brought them."""
ONE_AT_A_TIME = 7_305_113


def to_start(intake: Intake, customer: str, *, transfer_term: Term) -> StartCheckout:
    now = datetime.now(UTC)
    transfer_until = transfer_term.end(now) if intake.payment_method == MANUAL else None
    return StartCheckout(
        order_id=intake.order_id,
        order_number=number_of(intake.order_number),
        cart_id=intake.cart_id,
        payment_id=intake.payment_id,
        payment_method=intake.payment_method,
        customer=customer,
        expected_total_minor=intake.expected_total,
        transfer_window=transfer_until - now if transfer_until else None,
        transfer_until=transfer_until,
    )


async def held_until_the_engine_is_back(intake: Intake, resources: Resources) -> CheckoutOutcome:
    """Place the order here and now, so that its goods are held; its workflow finds it placed when it begins."""
    wish = PlaceOrder(
        order_id=intake.order_id,
        order_number=number_of(intake.order_number),
        cart_id=intake.cart_id,
        payment_id=intake.payment_id,
        expected_total_minor=intake.expected_total,
        hold_seconds=HOLD_SECONDS,
        is_manual=intake.payment_method == MANUAL,
    )
    placed = await placement.place_or_refuse(resources.sessions, wish, provider=resources.payments.name)
    while placed.asks_for_taxes:  # also of a cart that has changed while it was asked about
        is_silent = not await is_heard_about(intake.cart_id, resources)
        wish = replace(wish, is_tax_provider_silent=is_silent)
        placed = await placement.place_or_refuse(resources.sessions, wish, provider=resources.payments.name)
    if placed.refused is not None:
        return CheckoutOutcome(status=CheckoutStatus.REFUSED, refused=placed.refused)
    return CheckoutOutcome(status=CheckoutStatus.REQUIRES_ACTION)


async def see_to_the_unstarted(resources: Resources, stories: Stories) -> None:
    """Until cancelled."""
    begun: set[UUID] = set()

    async def look() -> None:
        await look_once(resources, stories, begun)
        await begin_refunds_and_returns(resources, stories, begun)
        await begin_imports_and_exports(resources, stories)

    await kept_up(look, name="intake")


async def look_once(resources: Resources, stories: Stories, begun: set[UUID]) -> int:
    """How many checkouts were begun or given back; those in ``begun`` need no look.

    Nobody waits for what becomes of a checkout that was begun, so one that gets no further holds up no other.
    """
    async with resources.sessions.begin() as session:
        if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME}):
            return 0
        waiting = await checkouts.unstarted(
            session, older_than=OLD_ENOUGH_SECONDS, hold_seconds=HOLD_SECONDS, except_for=begun
        )
        seen_to = await _give_back_the_overdue(waiting, resources, stories, begun)
        for checkout in waiting:
            if not checkout.is_overdue and await _begin(checkout, resources, stories):
                begun.add(checkout.intake.order_id)
                seen_to += 1
        return seen_to


async def _give_back_the_overdue(
    waiting: list[Unstarted], resources: Resources, stories: Stories, begun: set[UUID]
) -> int:
    """Should its workflow begin after all, it finds the order cancelled, and undoes what it did."""
    overdue = [checkout.intake.order_id for checkout in waiting if checkout.is_overdue]
    known = await asyncio.gather(*map(stories.is_begun, overdue))
    begun.update(order_id for order_id, is_begun in zip(overdue, known, strict=True) if is_begun)
    lost = [order_id for order_id in overdue if order_id not in begun]
    for order_id in lost:
        async with resources.sessions.begin() as session:
            await orders.cancel(session, CancelOrder(order_id=order_id, reason=CancelReason.NOT_STARTED))
        log.warning("checkout_given_back", order_id=str(order_id))
    return len(lost)


async def _begin(checkout: Unstarted, resources: Resources, stories: Stories) -> bool:
    order_id, term = checkout.intake.order_id, resources.settings.transfer_term
    try:
        await stories.begin_checkout(to_start(checkout.intake, checkout.customer, transfer_term=term))
    except RPCError as error:
        log.error("checkout_not_begun", order_id=str(order_id), error=error.message)
        return False
    log.info("checkout_begun_late", order_id=str(order_id))
    return True


async def begin_refunds_and_returns(resources: Resources, stories: Stories, begun: set[UUID]) -> None:
    """Tell the stories of those that were written down and whose request got no further; ``begun`` needs no look.

    Beginning twice is beginning once, so every API process may do it.
    """
    async with resources.autocommit() as session:
        money = await refunds.unsettled(session, older_than=OLD_ENOUGH_SECONDS, except_for=begun)
        goods = await returns.undecided(session, older_than=OLD_ENOUGH_SECONDS, except_for=begun)
    for refund in money:
        await stories.begin_refund(refund)
        begun.add(refund.refund_id)
    for following in goods:
        await stories.follow_return(following)
        begun.add(following.return_id)


async def begin_imports_and_exports(resources: Resources, stories: Stories) -> None:
    """Those that still wait; beginning twice is beginning once."""
    async with resources.autocommit() as session:
        to_read = await imports.unstarted(session, older_than=OLD_ENOUGH_SECONDS)
        to_write = await exports.unstarted(session, older_than=OLD_ENOUGH_SECONDS)
    for reading in to_read:
        await stories.begin_import(reading)
    for writing in to_write:
        await stories.begin_export(writing)
