"""Refund steps: the provider is asked under the refund's own key, and what it says is written down."""

from temporalio import activity

from db import payments, refunds
from db.engine import Sessions
from domain.refunds import PaymentRefund, RefundMoney, RefundState, SettleRefund
from providers.payments import Providers
from workflows.steps import refunds as steps


class RefundActivities:
    def __init__(self, providers: Providers, sessions: Sessions) -> None:
        self._providers = providers
        self._sessions = sessions

    @steps.pay_back.performed_by
    async def pay_back(self, request: RefundMoney) -> PaymentRefund:
        """A provider forgets its keys after a day, and we may ask for longer: every further try looks first."""
        async with self._sessions() as session:
            payment = await payments.known(session, request.payment_id)
        if payment is None or payment.reference is None:
            raise LookupError(f"payment {request.payment_id} has no reference at its provider")
        provider = self._providers[payment.provider]
        if activity.info().attempt > 1 or request.is_resumed:
            known = await provider.find_refund(request, payment.reference)
            if known is not None:
                return known
        return await provider.refund(request, payment.reference)

    @steps.call.performed_by
    async def call(self, request: RefundMoney) -> RefundState:
        async with self._sessions.begin() as session:
            return await refunds.call(session, request)

    @steps.settle.performed_by
    async def settle(self, request: SettleRefund) -> RefundState:
        async with self._sessions.begin() as session:
            return await refunds.settle(session, request)
