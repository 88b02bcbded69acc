"""Payment steps: one call to the provider each, safe to repeat by the key that the story gave it."""

from dataclasses import replace

from temporalio import activity

from db import payments
from db.engine import Sessions
from domain.payments import (
    Answer,
    AuthorizePayment,
    CapturePayment,
    GiveMoneyBack,
    LookUpPayment,
    PaymentAuthorization,
    PaymentCapture,
    PaymentFound,
    PaymentGivenBack,
    PaymentReleased,
    ReleasePayment,
)
from providers.payments import PaymentProvider
from workflows.steps import payments as steps


class PaymentActivities:
    def __init__(self, provider: PaymentProvider, sessions: Sessions) -> None:
        self._provider = provider
        self._sessions = sessions

    @steps.authorize.performed_by
    async def authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        """A first try may have worked without our hearing of it, so every further one asks before it repeats."""
        if activity.info().attempt > 1:
            known = await self._provider.look_up(LookUpPayment(payment_id=request.payment_id))
            if known is not None:
                return known
        return await self._provider.authorize(request)

    @steps.look_up.performed_by
    async def look_up(self, request: LookUpPayment) -> PaymentAuthorization:
        """How the payment stands. One that the provider does not know was refused when it was asked for."""
        known = await self._provider.look_up(request)
        return known or PaymentAuthorization(answer=Answer.DECLINED, reference=None, decline_code="not_found")

    @steps.find.performed_by
    async def find(self, request: LookUpPayment) -> PaymentFound:
        return PaymentFound(payment=await self._provider.look_up(request))

    @steps.capture.performed_by
    async def capture(self, request: CapturePayment) -> PaymentCapture:
        async with self._sessions() as session:
            reference = await payments.known_reference(session, request.payment_id)
        if reference is None:
            raise LookupError(f"payment {request.payment_id} has no reference at its provider")
        return await self._provider.capture(request, reference)

    @steps.release.performed_by
    async def release(self, request: ReleasePayment) -> PaymentReleased:
        async with self._sessions() as session:
            reference = await payments.known_reference(session, request.payment_id)
        if reference is not None:  # without one, nothing was ever held
            await self._provider.release(request, reference)
        async with self._sessions.begin() as session:
            return PaymentReleased(payment_status=await payments.released(session, request.order_id))

    @steps.give_back.performed_by
    async def give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        if request.reference is None:
            async with self._sessions() as session:
                request = replace(request, reference=await payments.known_reference(session, request.payment_id))
        return await self._provider.give_back(request)
