"""Partners of whom nothing can be asked over the wire, and who send nothing."""
# ruff: noqa: ARG002 (the protocol hands over more than they need)

from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from domain.payments import (
    BookedPayment,
    CapturePayment,
    PaymentCapture,
    ProviderEvent,
    ProviderPayment,
    ReleasePayment,
)
from domain.refunds import PaymentRefund, RefundMoney
from providers.payments.base import WebhookForged

NO_PAYMENTS: tuple[BookedPayment, ...] = ()


class SilentPartner:
    """Holds nothing and has no books to look into; whatever is to be captured is ours at once."""

    async def inspect(self, reference: str) -> ProviderPayment | None:
        return None

    async def capture(self, request: CapturePayment, reference: str) -> PaymentCapture:
        return PaymentCapture(is_captured=True)

    async def release(self, request: ReleasePayment, reference: str) -> None:
        """Nothing is ever held."""

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
        raise WebhookForged("this partner sends no webhooks")
