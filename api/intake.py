"""Wishes that were taken in while the workflow engine was away: begun once it is back; checkouts also given back.

A loop beside the requests of every API process sees to them, and not a workflow, because it has to work while there is
no engine. A lock in Postgres lets one process at a time look.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from temporalio.service import RPCError

from api.stories import EngineAwayError, Stories
from db import checkouts, orders, placement, refunds, returns
from db.checkouts import Intake, Unstarted
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
from runtime.resources import Resources
from workflows.checkout import HOLD_SECONDS

log = structlog.get_logger()

PAUSE_SECONDS = 2.0
OLD_ENOUGH_SECONDS = 5.0
"""Younger checkouts are still in the hands of the request that brought them."""
ONE_AT_A_TIME = 7_305_113


def to_start(intake: Intake, customer: str, *, transfer_window: timedelta) -> StartCheckout:
    return StartCheckout(
        order_id=intake.order_id,
        order_number=number_of(intake.order_number),
        cart_id=intake.cart_id,
        payment_id=intake.payment_id,
        payment_method=intake.payment_method,
        customer=customer,
        expected_total_minor=intake.expected_total,
        transfer_window=transfer_window if intake.payment_method == MANUAL else None,
    )


async def held_until_the_engine_is_back(intake: Intake, resources: Resources) -> CheckoutOutcome:
    """Place the order here and now, so that its goods are held; its workflow finds it placed when it begins."""
    placed = await placement.place_or_refuse(
        resources.sessions,
        PlaceOrder(
            order_id=intake.order_id,
            order_number=number_of(intake.order_number),
            cart_id=intake.cart_id,
            payment_id=intake.payment_id,
            expected_total_minor=intake.expected_total,
            hold_seconds=HOLD_SECONDS,
            is_manual=intake.payment_method == MANUAL,
        ),
        provider=resources.payments.name,
    )
    if placed.refused is not None:
        return CheckoutOutcome(status=CheckoutStatus.REFUSED, refused=placed.refused)
    return CheckoutOutcome(status=CheckoutStatus.REQUIRES_ACTION)


async def see_to_the_unstarted(resources: Resources, stories: Stories) -> None:
    """Until cancelled."""
    begun: set[UUID] = set()
    while True:
        await asyncio.sleep(PAUSE_SECONDS)
        try:
            await look_once(resources, stories)
            await begin_refunds_and_returns(resources, stories, begun)
        except (DBAPIError, RPCError, OSError, TimeoutError) as error:
            log.warning("intake_not_seen_to", error=type(error).__name__)


async def look_once(resources: Resources, stories: Stories) -> int:
    """How many checkouts were begun or given back."""
    async with resources.sessions.begin() as session:
        if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME}):
            return 0
        waiting = await checkouts.unstarted(session, older_than=OLD_ENOUGH_SECONDS, hold_seconds=HOLD_SECONDS)
        seen_to = 0
        for checkout in waiting:
            if checkout.is_overdue:
                seen_to += await _give_back(checkout, resources, stories)
            elif not await _begin(checkout, resources, stories):
                break  # the engine is still away
            else:
                seen_to += 1
        return seen_to


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


async def _begin(checkout: Unstarted, resources: Resources, stories: Stories) -> bool:
    window = resources.settings.payments.transfer_window
    try:
        await stories.check_out(to_start(checkout.intake, checkout.customer, transfer_window=window))
    except EngineAwayError:
        return False
    log.info("checkout_begun_late", order_id=str(checkout.intake.order_id))
    return True


async def _give_back(checkout: Unstarted, resources: Resources, stories: Stories) -> int:
    """Should its workflow begin after all, it finds the order cancelled, and undoes what it did."""
    order_id = checkout.intake.order_id
    if await stories.is_begun(order_id):
        return 0
    async with resources.sessions.begin() as session:
        await orders.cancel(session, CancelOrder(order_id=order_id, reason=CancelReason.NOT_STARTED))
    log.warning("checkout_given_back", order_id=str(order_id))
    return 1
