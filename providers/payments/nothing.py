"""Orders that cost nothing: they take the same way as all others, and nobody is asked for money."""
# ruff: noqa: ARG002 (the protocol hands over more than nothing needs)

from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from domain.payments import (
    NOTHING,
    Answer,
    AuthorizePayment,
    BookedPayment,
    CapturePayment,
    GiveMoneyBack,
    LookUpPayment,
    MoneyBack,
    PaymentAuthorization,
    PaymentCapture,
    PaymentGivenBack,
    ProviderEvent,
    ProviderPayment,
    ReleasePayment,
)
from domain.refunds import PaymentRefund, RefundMoney
from providers.payments.base import WebhookForged

NO_PAYMENTS: tuple[BookedPayment, ...] = ()
PAID = PaymentAuthorization(answer=Answer.AUTHORIZED, reference=None, amount_minor=0)


class NothingToPay:
    """Agrees to everything at once, for there is nothing that could be taken, held or given back."""

    name = NOTHING

    async def authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        return PAID

    async def look_up(self, request: LookUpPayment) -> PaymentAuthorization | None:
        return PAID

    async def inspect(self, reference: str) -> ProviderPayment | None:
        return None

    async def capture(self, request: CapturePayment, reference: str) -> PaymentCapture:
        return PaymentCapture(is_captured=True)

    async def release(self, request: ReleasePayment, reference: str) -> None:
        """Nothing is ever held."""

    async def give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        return PaymentGivenBack(how=MoneyBack.VOIDED)

    async def refund(self, request: RefundMoney, reference: str) -> PaymentRefund:
        return PaymentRefund(is_refunded=False, refusal="nothing_was_paid")

    async def find_refund(self, request: RefundMoney, reference: str) -> PaymentRefund | None:
        return None

    async def payments_between(self, since: datetime, until: datetime) -> AsyncIterator[BookedPayment]:
        for payment in NO_PAYMENTS:
            yield payment

    async def refunded_between(self, since: datetime, until: datetime) -> AsyncIterator[str]:
        for payment in NO_PAYMENTS:
            yield payment.reference

    async def find_payment(self, reference: str) -> BookedPayment | None:
        return None

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        raise WebhookForged("nobody sends webhooks about nothing")
