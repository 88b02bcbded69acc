"""Who takes the money."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr

from runtime.settings.section import Section

EXAMPLE_ACCOUNT = "Sutler, account 0000 0000 at the Example Bank"
"""Nobody should send real money there: production takes no bank transfers before it has an account of its own."""


class Payments(Section):
    """Who takes the money, and how it comes by bank transfer: `docs/operating.md`."""

    provider: str = "stripe"
    """Which provider takes cards; one of ``providers.payments.PROVIDERS``."""
    stripe_api_base: str = "http://127.0.0.1:8090"
    """Stripe's API, or the sandbox that stands in for it."""
    stripe_api_key: SecretStr = SecretStr("sk_test_sutler")
    """The secret key by which the shop asks Stripe."""
    stripe_webhook_secret: SecretStr = SecretStr("whsec_sutler")
    """What Stripe signs its webhooks with."""
    timeout_seconds: Annotated[float, Field(gt=0, le=80)] = 10.0
    """How long one call may take before its outcome counts as unknown."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    """After so many calls in a row that were not answered, a worker leaves the provider alone for a while."""
    breaker_seconds: Annotated[float, Field(gt=0)] = 5.0
    """That while; then one call tries, and the others fail at once until that one was answered."""
    transfer_to: str = EXAMPLE_ACCOUNT
    """The shop's bank account, in the words that customers are mailed; empty when it takes no bank transfers."""
    transfer_days: Annotated[int, Field(ge=1, le=60)] = 7
    """How long an order waits for its bank transfer, with its goods held: until the end of the last of these days."""
    events_keep_days: Annotated[int, Field(ge=30)] = 90
    """How long it is known which of the provider's events have come, so that each counts once. Stripe sends none again
    that is older than 30 days."""

    @property
    def events_kept(self) -> timedelta:
        return timedelta(days=self.events_keep_days)
