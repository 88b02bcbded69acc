"""Payment providers, chosen by name."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext

from stripe import APIConnectionError

from providers.payments.base import Guard, OutcomeUnknown, PaymentProvider, WebhookForged
from providers.payments.manual import ManualPayments
from providers.payments.nothing import NothingToPay
from providers.payments.stripe import stripe_payments

PROVIDER_SILENCE: tuple[type[Exception], ...] = (APIConnectionError,)
"""What clients of providers raise when nobody answers. An error that was answered is an answer."""

PROVIDERS = {"stripe": stripe_payments}
"""Those who take cards."""

Providers = Mapping[str, PaymentProvider]
"""All who have payments of this shop, by the name that each payment keeps."""


def open_provider(
    name: str,
    *,
    api_base: str,
    api_key: str,
    webhook_secret: str,
    return_url: str,
    timeout_seconds: float,
    guard: Guard = nullcontext,
) -> AbstractAsyncContextManager[PaymentProvider]:
    """The provider of that name; ``ValueError`` names those there are."""
    if name not in PROVIDERS:
        raise ValueError(f"there is no payment provider {name!r}; choose one of {', '.join(sorted(PROVIDERS))}")
    return PROVIDERS[name](
        api_base=api_base,
        api_key=api_key,
        webhook_secret=webhook_secret,
        return_url=return_url,
        timeout_seconds=timeout_seconds,
        guard=guard,
    )


def beside_transfers(cards: PaymentProvider) -> Providers:
    """Whoever takes cards, and those who need no partner: bank transfers, and orders that cost nothing."""
    return {provider.name: provider for provider in (cards, ManualPayments(), NothingToPay())}


__all__ = [
    "PROVIDERS",
    "PROVIDER_SILENCE",
    "ManualPayments",
    "NothingToPay",
    "OutcomeUnknown",
    "PaymentProvider",
    "Providers",
    "WebhookForged",
    "beside_transfers",
    "open_provider",
]
