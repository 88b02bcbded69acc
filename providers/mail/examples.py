"""Each mail with facts that are made up, for whoever writes or checks its texts."""

from datetime import UTC, datetime

from domain.money import Money
from domain.notifications import Mail, Occasion
from providers.mail.letters import Letters, Line, OrderLetter, ParcelLetter, Recipient

EMAIL = "ada@example.com"
UNTIL = datetime(2026, 12, 2, 14, 30, tzinfo=UTC)
SHOP = "https://shop.example.com"
ABOUT_ACCOUNTS = {
    Occasion.VERIFICATION: "verify-email",
    Occasion.REMINDER: "verify-email",
    Occasion.PASSWORD_RESET: "password-reset",
    Occasion.PASSWORD_CHANGED: None,
    Occasion.EMAIL_CHANGE_OLD: "email-change",
    Occasion.EMAIL_CHANGE_NEW: "email-change",
    Occasion.INVITATION: "invitation",
    Occasion.SECOND_FACTOR_CHANGED: None,
}
"""And to which page their links lead."""


def example(letters: Letters, occasion: Occasion, language: str | None) -> Mail:
    key = f"{occasion}:example"
    if occasion in ABOUT_ACCOUNTS:
        to = Recipient(email=EMAIL, username="ada", language=language)
        page = ABOUT_ACCOUNTS[occasion]
        link = f"{SHOP}/{page}?token=example" if page else None
        return letters.about_account(occasion, key, to, link=link, until=UNTIL)
    if occasion is Occasion.CART_REMINDER:
        lines = [("Earl Grey & Friends", 2), ("Teapot", 1)]
        unsubscribe = f"{SHOP}/unsubscribe?token=example"
        return letters.about_cart(occasion, key, EMAIL, lines, unsubscribe=unsubscribe, language=language)
    parcel = ParcelLetter(
        contents=[("Earl Grey & Friends", 2)],
        carrier="UPS",
        tracking_number="1Z999AA10123456784",
        tracking_url="https://carrier.example.com/1Z999AA10123456784",
    )
    return letters.about_order(occasion, key, EMAIL, an_order(language), returned=_usd(1999), parcel=parcel)


def an_order(language: str | None) -> OrderLetter:
    return OrderLetter(
        number="S-1001",
        lines=[
            Line(name="Earl Grey & Friends", quantity=2, unit_price=_usd(1999), total=_usd(3998)),
            Line(name="Teapot", quantity=1, unit_price=_usd(120_000), total=_usd(120_000)),
        ],
        subtotal=_usd(123_998),
        discount=_usd(1000),
        shipping=_usd(499),
        tax=_usd(0),
        total=_usd(123_497),
        credit=_usd(2500),
        due=_usd(120_997),
        due_at=UNTIL,
        address=["Ada Testcase", "12 Orchard Lane", "62701 Springfield IL", "US"],
        language=language,
    )


def _usd(minor: int) -> Money:
    return Money(minor, "USD")
