"""Bank transfers: customers send the money, and a person says when it has come and sends it back."""
# ruff: noqa: ARG002 (the protocol hands over more than a transfer needs)

from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from domain.payments import (
    MANUAL,
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


class ManualPayments:
    """A partner who never answers by himself: nothing is held, and what was received is ours at once."""

    name = MANUAL

    async def authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        return PaymentAuthorization(answer=Answer.EXPECTED, reference=None)

    async def look_up(self, request: LookUpPayment) -> PaymentAuthorization | None:
        """There is nobody to ask; whether the money has come stands in the shop's own books."""
        return None

    async def inspect(self, reference: str) -> ProviderPayment | None:
        return None

    async def capture(self, request: CapturePayment, reference: str) -> PaymentCapture:
        return PaymentCapture(is_captured=True)

    async def release(self, request: ReleasePayment, reference: str) -> None:
        """Nothing is ever held."""

    async def give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        return PaymentGivenBack(how=MoneyBack.BY_HAND)

    async def refund(self, request: RefundMoney, reference: str) -> PaymentRefund:
        return PaymentRefund(is_refunded=False, refusal="by_hand_only")

    async def find_refund(self, request: RefundMoney, reference: str) -> PaymentRefund | None:
        return None

    async def payments_between(self, since: datetime, until: datetime) -> AsyncIterator[BookedPayment]:
        """There are no books to compare with but the bank's, which a person reads."""
        for payment in NO_PAYMENTS:
            yield payment

    async def refunded_between(self, since: datetime, until: datetime) -> AsyncIterator[str]:
        for payment in NO_PAYMENTS:
            yield payment.reference

    async def find_payment(self, reference: str) -> BookedPayment | None:
        return None

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        raise WebhookForged("nobody sends webhooks about bank transfers")
