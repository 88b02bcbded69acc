"""Orders that cost nothing: they take the same way as all others, and nobody is asked for money."""
# ruff: noqa: ARG002 (the protocol hands over more than nothing needs)

from domain.payments import (
    NOTHING,
    Answer,
    AuthorizePayment,
    GiveMoneyBack,
    LookUpPayment,
    MoneyBack,
    PaymentAuthorization,
    PaymentGivenBack,
)
from domain.refunds import PaymentRefund, RefundMoney
from providers.payments.silent import SilentPartner

PAID = PaymentAuthorization(answer=Answer.AUTHORIZED, reference=None, amount_minor=0)


class NothingToPay(SilentPartner):
    """Agrees to everything at once, for there is nothing that could be taken, held or given back."""

    name = NOTHING

    async def authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        return PAID

    async def look_up(self, request: LookUpPayment) -> PaymentAuthorization | None:
        return PAID

    async def give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        return PaymentGivenBack(how=MoneyBack.VOIDED)

    async def refund(self, request: RefundMoney, reference: str) -> PaymentRefund:
        return PaymentRefund(is_refunded=False, refusal="nothing_was_paid")
