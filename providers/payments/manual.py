"""Bank transfers: customers send the money, and a person says when it has come and sends it back."""
# ruff: noqa: ARG002 (the protocol hands over more than a transfer needs)

from domain.payments import (
    MANUAL,
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


class ManualPayments(SilentPartner):
    """A partner who never answers by himself: nothing is held, and what was received is ours at once.

    There are no books to compare with but the bank's, which a person reads.
    """

    name = MANUAL

    async def authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        return PaymentAuthorization(answer=Answer.EXPECTED, reference=None)

    async def look_up(self, request: LookUpPayment) -> PaymentAuthorization | None:
        """There is nobody to ask; whether the money has come stands in the shop's own books."""
        return None

    async def give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        return PaymentGivenBack(how=MoneyBack.BY_HAND)

    async def refund(self, request: RefundMoney, reference: str) -> PaymentRefund:
        return PaymentRefund(is_refunded=False, refusal="by_hand_only")
