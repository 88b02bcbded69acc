"""Bank transfers: customers send the money, and a person says when it has come and sends it back."""
# ruff: noqa: ARG002 (the protocol hands over more than a transfer needs)

from collections.abc import Mapping

from domain.payments import (
    MANUAL,
    Answer,
    AuthorizePayment,
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

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        raise WebhookForged("nobody sends webhooks about bank transfers")
