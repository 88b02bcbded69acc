"""What the shop expects of every payment provider."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from domain.payments import (
    AuthorizePayment,
    BookedPayment,
    CapturePayment,
    GiveMoneyBack,
    LookUpPayment,
    PaymentAuthorization,
    PaymentCapture,
    PaymentGivenBack,
    ProviderEvent,
    ProviderPayment,
    ReleasePayment,
)
from domain.refunds import PaymentRefund, RefundMoney

Guard = Callable[[], AbstractContextManager[None]]
"""Entered around each request that goes out; it may raise what the client raises when nobody answers, instead."""


class OutcomeUnknown(Exception):
    """The provider may or may not have done it; ask before doing anything else."""


class WebhookForged(Exception):
    """The webhook was not signed by the provider, or too long ago."""


class PaymentProvider(Protocol):
    """A partner who moves money. Every call is safe to repeat with the same request.

    An answer that the provider gave is returned, also a refusal; ``OutcomeUnknown`` is raised when there was none.
    """

    name: str

    async def authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        """Reserve the money on the customer's card."""

    async def look_up(self, request: LookUpPayment) -> PaymentAuthorization | None:
        """How the payment stands; ``None`` when the provider has never heard of it."""

    async def inspect(self, reference: str) -> ProviderPayment | None:
        """What the provider has under its own id; ``None`` when there is nothing, or not by this shop."""

    async def capture(self, request: CapturePayment, reference: str) -> PaymentCapture:
        """Take reserved money."""

    async def release(self, request: ReleasePayment, reference: str) -> None:
        """Free what is still held; content when that is nothing. What was taken stays taken."""

    async def give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        """Release what is reserved, refund what was taken; content when there is neither."""

    async def refund(self, request: RefundMoney, reference: str) -> PaymentRefund:
        """Send back an amount of what was taken."""

    async def find_refund(self, request: RefundMoney, reference: str) -> PaymentRefund | None:
        """The refund, if the provider has made it; ``None`` when it never heard of it."""

    def payments_between(self, since: datetime, until: datetime) -> AsyncIterator[BookedPayment]:
        """All payments that were made in that time, whoever made them."""

    def refunded_between(self, since: datetime, until: datetime) -> AsyncIterator[str]:
        """The payments, however old, of which something was refunded in that time."""

    async def find_payment(self, reference: str) -> BookedPayment | None:
        """The payment of that id; ``None`` when the provider does not know it."""

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        """The event of a webhook; raises ``WebhookForged`` unless the provider signed exactly this body."""
