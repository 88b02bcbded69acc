"""What the shop's mails say. The texts are files in ``templates``: one for reading, one for looking at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from domain.deadlines import in_words
from domain.money import Money
from domain.notifications import Mail, Occasion


@dataclass(frozen=True, kw_only=True)
class Recipient:
    email: str
    username: str


@dataclass(frozen=True, kw_only=True)
class Line:
    name: str
    quantity: int
    unit_price: Money
    total: Money


@dataclass(frozen=True, kw_only=True)
class ParcelLetter:
    """What is on its way, and where its reader can follow it."""

    contents: Sequence[tuple[str, int]]
    """Names of goods, and how many of them."""
    carrier: str
    tracking_number: str
    tracking_url: str | None


@dataclass(frozen=True, kw_only=True)
class OrderLetter:
    """An order as its mail shows it."""

    number: str
    lines: Sequence[Line]
    subtotal: Money
    discount: Money | None
    shipping: Money
    tax: Money
    total: Money
    credit: Money | None
    """What gift cards and store credit have paid of it."""
    due: Money
    due_at: datetime | None
    """Until when its bank transfer is waited for."""
    address: Sequence[str]


SUBJECTS = {
    Occasion.VERIFICATION: "confirm your e-mail address",
    Occasion.REMINDER: "your account still waits for you",
    Occasion.PASSWORD_RESET: "choose a new password",
    Occasion.PASSWORD_CHANGED: "your password was changed",
    Occasion.EMAIL_CHANGE_OLD: "shall your e-mail address change?",
    Occasion.EMAIL_CHANGE_NEW: "confirm your new e-mail address",
    Occasion.INVITATION: "you are invited",
    Occasion.SECOND_FACTOR_CHANGED: "how you sign in was changed",
    Occasion.ORDER_CONFIRMED: "your order {number}",
    Occasion.PARCEL_SHIPPED: "something of your order {number} is on its way",
    Occasion.TRANSFER_AWAITED: "please pay your order {number}",
    Occasion.TRANSFER_REMINDER: "your order {number} still waits for your payment",
    Occasion.TRANSFER_EXPIRED: "your order {number} was cancelled",
    Occasion.CART_REMINDER: "something waits in your cart",
    Occasion.LATE_MONEY: "your payment for order {number} goes back",
}


class Letters:
    """Writes mails in the name of one shop. A name that a template does not know is an error, never a blank."""

    def __init__(self, *, shop_name: str, zone: tzinfo = UTC, transfer_to: str | None = None) -> None:
        self._shop_name = shop_name
        self._zone = zone
        self._transfer_to = transfer_to
        self._templates = Environment(
            loader=PackageLoader("providers.mail"),
            undefined=StrictUndefined,
            autoescape=select_autoescape(["html"]),
            trim_blocks=True,
            keep_trailing_newline=True,
        )

    def about_account(
        self,
        occasion: Occasion,
        key: str,
        to: Recipient,
        *,
        link: str | None = None,
        until: datetime | None = None,
    ) -> Mail:
        return self._mail(
            occasion,
            key,
            to.email,
            f"{self._shop_name}: {SUBJECTS[occasion]}",
            username=to.username,
            link=link,
            until=in_words(until, self._zone) if until else None,
        )

    def about_order(
        self,
        occasion: Occasion,
        key: str,
        to: str,
        order: OrderLetter,
        *,
        returned: Money | None = None,
        parcel: ParcelLetter | None = None,
    ) -> Mail:
        subject = SUBJECTS[occasion].format(number=order.number)
        return self._mail(
            occasion,
            key,
            to,
            f"{self._shop_name}: {subject}",
            order=order,
            returned=returned,
            parcel=parcel,
            transfer_to=self._transfer_to,
            until=in_words(order.due_at, self._zone) if order.due_at else None,
        )

    def about_cart(
        self, occasion: Occasion, key: str, to: str, lines: Sequence[tuple[str, int]], *, unsubscribe: str
    ) -> Mail:
        """``lines`` are names and quantities."""
        subject = f"{self._shop_name}: {SUBJECTS[occasion]}"
        return self._mail(occasion, key, to, subject, lines=lines, unsubscribe=unsubscribe)

    def _mail(
        self, occasion: Occasion, key: str, to: str, subject: str, *, unsubscribe: str | None = None, **facts: object
    ) -> Mail:
        facts = {**facts, "shop_name": self._shop_name, "unsubscribe": unsubscribe}
        text, html = (self._templates.get_template(f"{occasion}.{kind}").render(facts) for kind in ("txt", "html"))
        return Mail(key=key, to=to, subject=subject, text=text, html=html, unsubscribe=unsubscribe)
