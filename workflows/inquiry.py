"""What became of a payment that the provider did not answer for."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from domain.attention import Concern
from domain.orders import AwaitProvider
from domain.payments import AuthorizePayment, LookUpPayment, PaymentAuthorization, PaymentFound
from workflows.attention import Concerns
from workflows.steps import orders, payments

LONGEST_SILENCE = timedelta(minutes=15)
"""After that a person is called; the asking goes on meanwhile."""

KEEP_THE_GOODS_EVERY = timedelta(minutes=30)
HOLD_SECONDS = 65 * 60
"""Long enough for the next time, and after it for a customer who then has to act at the bank."""


class Inquiry:
    """Ask the provider how the payment stands until it says, while the goods stay with the order.

    It is never asked blindly to do something again: only when it says that it never heard of the payment, once, under
    the same key; and once more each time a person wants it to be tried again.
    """

    def __init__(self, wish: AuthorizePayment, concerns: Concerns, *, is_given_up: Callable[[], bool]) -> None:
        self._wish = wish
        self._concerns = concerns
        self._is_given_up = is_given_up
        self._may_try_again = True
        self._has_news = False
        self._is_over = False

    @property
    def needs_a_person(self) -> bool:
        return Concern.PAYMENT_UNKNOWN in self._concerns

    def try_again(self) -> None:
        """A person wants it."""
        self._may_try_again = self._has_news = True

    def ask_now(self) -> None:
        """The provider has hinted that there is something to be heard."""
        self._has_news = True

    async def outcome(self) -> PaymentAuthorization | None:
        """What the provider says of the payment; ``None`` when it never heard of it, or when nobody wants to know."""
        await self._keep_the_goods()
        meanwhile = [asyncio.create_task(self._go_on_keeping_the_goods()), asyncio.create_task(self._call_a_person())]
        try:
            payment = await self._until_the_provider_says()
        finally:
            self._is_over = True
            await asyncio.gather(*meanwhile)
        if not self._is_given_up():
            await self._concerns.settle(Concern.PAYMENT_UNKNOWN)
        return payment

    async def _until_the_provider_says(self) -> PaymentAuthorization | None:
        while not self._is_given_up():
            self._has_news = False
            found = await self._asked()
            if found is None:
                continue
            if found.payment is not None or not self._may_try_again:
                return found.payment
            self._may_try_again = False
            if answer := await authorized(self._wish):
                return answer
        return None

    async def _asked(self) -> PaymentFound | None:
        """``None`` when there is a reason to ask anew, or none to ask any more."""
        is_answered = False
        asking = asyncio.create_task(payments.find(LookUpPayment(payment_id=self._wish.payment_id)))
        try:
            await workflow.wait_condition(lambda: asking.done() or self._has_news or self._is_given_up())
            is_answered = asking.done()
        finally:
            asking.cancel()
        try:
            return await asking
        except ActivityError:
            # An attempt that fails after it was told to stop ends as failed, not as cancelled.
            if is_answered:
                raise
            return None

    async def _go_on_keeping_the_goods(self) -> None:
        while not await self._is_over_within(KEEP_THE_GOODS_EVERY, "until the goods are kept a while longer"):
            await self._keep_the_goods()

    async def _keep_the_goods(self) -> None:
        await orders.await_provider(AwaitProvider(order_id=self._wish.order_id, hold_seconds=HOLD_SECONDS))

    async def _call_a_person(self) -> None:
        self._describe()
        if not await self._is_over_within(LONGEST_SILENCE, "how long the provider may be silent"):
            minutes = LONGEST_SILENCE.total_seconds() // 60
            why = f"the provider has not said for {minutes:.0f} minutes what became of the payment; it is asked on"
            await self._concerns.voice(Concern.PAYMENT_UNKNOWN, why)
            self._describe()

    async def _is_over_within(self, time: timedelta, summary: str) -> bool:
        try:
            await workflow.wait_condition(lambda: self._is_over, timeout=time, timeout_summary=summary)
        except TimeoutError:
            return False
        return True

    def _describe(self) -> None:
        number, words = self._wish.order_number, self._concerns.words
        needs = f"**Order {number} needs a person**: {words}. Retry, or cancel. " if words else ""
        workflow.set_current_details(
            f"{needs}Order {number} waits for the provider to say what became of the payment of {self._wish.total}; "
            "its goods stay reserved."
        )


async def authorized(wish: AuthorizePayment) -> PaymentAuthorization | None:
    """The provider's answer; ``None`` when it was silent for as long as we can wait, and nobody knows what it did."""
    try:
        return await payments.authorize(wish, summary=f"authorise {wish.total}")
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        return None
