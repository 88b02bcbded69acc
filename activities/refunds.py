"""Refund steps: the provider is asked under the refund's own key, and what it says is written down."""

from temporalio import activity

from db import payments, refunds
from db.engine import Sessions
from domain.refunds import PaymentRefund, RefundMoney, RefundState, SettleRefund
from providers.payments import PaymentProvider
from workflows.steps import refunds as steps


class RefundActivities:
    def __init__(self, provider: PaymentProvider, sessions: Sessions) -> None:
        self._provider = provider
        self._sessions = sessions

    @steps.pay_back.performed_by
    async def pay_back(self, request: RefundMoney) -> PaymentRefund:
        """A provider forgets its keys after a day, and we may ask for longer: every further try looks first."""
        async with self._sessions() as session:
            reference = await payments.known_reference(session, request.payment_id)
        if reference is None:
            raise LookupError(f"payment {request.payment_id} has no reference at its provider")
        if activity.info().attempt > 1:
            known = await self._provider.find_refund(request, reference)
            if known is not None:
                return known
        return await self._provider.refund(request, reference)

    @steps.settle.performed_by
    async def settle(self, request: SettleRefund) -> RefundState:
        async with self._sessions.begin() as session:
            return await refunds.settle(session, request)
