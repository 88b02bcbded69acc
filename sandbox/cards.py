"""Stripe's test payment methods and what their bank says."""

from dataclasses import dataclass
from typing import Any

from sandbox.errors import no_such
from sandbox.objects import CardError


@dataclass(frozen=True)
class Card:
    """One test card: ``decline`` is why its bank refuses, ``challenges`` whether its bank wants to see the payer."""

    id: str
    brand: str
    last4: str
    decline: tuple[str, str, str] | None = None
    """Code, decline code and message."""
    disputed_as: str | None = None
    """Why the payer's bank takes the money back as soon as it was taken."""
    challenges: bool = False

    @property
    def details(self) -> dict[str, Any]:
        return {"brand": self.brand, "country": "US", "exp_month": 12, "exp_year": 2034, "last4": self.last4}

    def as_payment_method(self) -> dict[str, Any]:
        return {"id": self.id, "object": "payment_method", "type": "card", "card": self.details, "livemode": False}

    def refusal(self, charge: str) -> CardError:
        code, decline_code, message = self.decline or NEEDS_THE_PAYER
        return CardError(
            code=code,
            decline_code=decline_code,
            message=message,
            charge=charge,
            payment_method=self.as_payment_method(),
        )


GENERIC = ("card_declined", "generic_decline", "Your card was declined.")
INSUFFICIENT_FUNDS = ("card_declined", "insufficient_funds", "Your card has insufficient funds.")
NEEDS_THE_PAYER = (
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
DECLINES = {
    "chargeDeclined": ("0002", GENERIC),
    "chargeDeclinedInsufficientFunds": ("9995", INSUFFICIENT_FUNDS),
    "chargeDeclinedLostCard": ("9987", ("card_declined", "lost_card", "Your card was declined.")),
    "chargeDeclinedStolenCard": ("9979", ("card_declined", "stolen_card", "Your card was declined.")),
    "chargeDeclinedFraudulent": ("0019", ("card_declined", "fraudulent", "Your card was declined.")),
    "chargeDeclinedExpiredCard": ("0069", ("expired_card", "expired_card", "Your card has expired.")),
    "chargeDeclinedIncorrectCvc": (
        "0127",
        ("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    ),
    "chargeDeclinedProcessingError": (
        "0119",
        (
            "processing_error",
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ),
    "chargeDeclinedVelocityLimitExceeded": (
        "6975",
        (
            "card_declined",
            "card_velocity_exceeded",
            "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
        ),
    ),
    "chargeDeclineCustomerFail": ("0341", GENERIC),
    "chargeCustomerFail": ("0341", GENERIC),
}
BRANDS = {
    "visa": ("visa", "4242"),
    "visa_debit": ("visa", "5556"),
    "mastercard": ("mastercard", "4444"),
    "mastercard_debit": ("mastercard", "3222"),
    "mastercard_prepaid": ("mastercard", "5100"),
    "amex": ("amex", "8431"),
    "discover": ("discover", "9424"),
    "diners": ("diners", "3237"),
    "jcb": ("jcb", "0505"),
    "unionpay": ("unionpay", "0005"),
    "us": ("visa", "4242"),
    "bypassPending": ("visa", "0077"),
    "threeDSecureOptional": ("visa", "3055"),
}
CHALLENGES = {
    "authenticationRequired": ("3184", None),
    "authenticationRequiredOnSetup": ("3155", None),
    "authenticationRequiredSetupForOffSession": ("3155", None),
    "threeDSecure2Required": ("3220", None),
    "threeDSecureRequired": ("3063", None),
    "threeDSecureRequiredChargeDeclined": ("1629", GENERIC),
    "authenticationRequiredChargeDeclinedInsufficientFunds": ("8341", INSUFFICIENT_FUNDS),
}


DISPUTED = {
    "createDispute": ("0259", "fraudulent"),
    "createDisputeProductNotReceived": ("2685", "product_not_received"),
}


def _the_cards() -> dict[str, Card]:
    cards = [Card(f"pm_card_{name}", brand, last4) for name, (brand, last4) in BRANDS.items()]
    for name, (last4, decline) in DECLINES.items():
        cards += [Card(f"pm_card_{prefix}{name}", "visa", last4, decline) for prefix in ("", "visa_")]
    for name, (last4, failing) in CHALLENGES.items():
        cards.append(Card(f"pm_card_{name}", "visa", last4, failing, challenges=True))
    for name, (last4, reason) in DISPUTED.items():
        cards.append(Card(f"pm_card_{name}", "visa", last4, disputed_as=reason))
    return {card.id: card for card in cards}


CARDS = _the_cards()


def card(payment_method: str) -> Card:
    """The test card of that name, or Stripe's refusal of an unknown one."""
    if payment_method not in CARDS:
        raise no_such("PaymentMethod", payment_method, param="payment_method")
    return CARDS[payment_method]
