"""A payment that one call did not settle: the customer has to act, and may never come back."""

from datetime import datetime, timedelta

from temporalio import workflow

from tests.replay.yesterday.domain.payments import Answer, FollowPayment, LookUpPayment, PaymentAuthorization
from tests.replay.yesterday.workflows.steps import payments

PAYMENT_WINDOW = timedelta(minutes=30)
"""How long a customer may take with the bank's page. Cards' own challenges end after 15 minutes at most."""


@workflow.defn
class Payment:
    """Wait until the provider has decided, the customer took too long, or the checkout gives up.

    Webhooks are hints: whatever they say, and however often or late, the provider is asked how the payment stands.
    """

    @workflow.init
    def __init__(self, request: FollowPayment) -> None:
        self._request = request
        self._has_news = True  # what was decided before this workflow began, nobody will say again
        self._is_given_up = False

    @workflow.run
    async def run(self, request: FollowPayment) -> PaymentAuthorization:
        deadline = workflow.now() + PAYMENT_WINDOW
        while True:
            is_over = await self._nothing_was_heard_until(deadline)
            self._has_news = False
            payment = await payments.look_up(LookUpPayment(payment_id=request.payment_id))
            if payment.answer is not Answer.REQUIRES_ACTION:
                return payment
            if is_over or self._is_given_up:
                return PaymentAuthorization(
                    answer=Answer.DECLINED,
                    reference=payment.reference,
                    decline_code="abandoned" if self._is_given_up else "expired",
                )

    async def _nothing_was_heard_until(self, deadline: datetime) -> bool:
        workflow.set_current_details(
            f"Waits until {deadline:%H:%M} UTC for the customer of order {self._request.order_number} "
            "to approve the payment with the bank."
        )
        try:
            await workflow.wait_condition(
                lambda: self._has_news or self._is_given_up,
                timeout=max(deadline - workflow.now(), timedelta(0)),
                timeout_summary="the customer's time to approve the payment",
            )
        except TimeoutError:
            return True
        return False

    @workflow.signal(description="The provider's webhook told us something about this payment")
    def provider_event(self, event_id: str) -> None:
        self._has_news = True

    @workflow.signal(description="The checkout does not want this payment any more")
    def give_up(self) -> None:
        self._is_given_up = True
