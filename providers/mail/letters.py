"""What the shop's mails say. The texts are files in ``templates``, by language: one for reading, one for looking at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from domain.money import Money
from domain.notifications import Mail, Occasion
from providers.mail.languages import spoken


@dataclass(frozen=True, kw_only=True)
class Recipient:
    email: str
    username: str
    language: str | None = None
    """What the reader has asked for (BCP 47); ``None`` for the shop's own."""


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
    language: str | None = None


class Letters:
    """Writes mails in the name of one shop. A name that a template does not know is an error, never a blank."""

    def __init__(
        self, *, shop_name: str, language: str = "en", zone: tzinfo = UTC, transfer_to: str | None = None
    ) -> None:
        """``language``: of those who have asked for none."""
        self._shop_name = shop_name
        self._language = language
        self._zone = zone
        self._transfer_to = transfer_to

    def about_account(
        self,
        occasion: Occasion,
        key: str,
        to: Recipient,
        *,
        link: str | None = None,
        until: datetime | None = None,
    ) -> Mail:
        return self._mail(occasion, key, to.email, language=to.language, username=to.username, link=link, until=until)

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
        return self._mail(
            occasion,
            key,
            to,
            language=order.language,
            number=order.number,
            order=order,
            returned=returned,
            parcel=parcel,
            transfer_to=self._transfer_to,
            until=order.due_at,
        )

    def about_cart(
        self,
        occasion: Occasion,
        key: str,
        to: str,
        lines: Sequence[tuple[str, int]],
        *,
        unsubscribe: str,
        language: str | None = None,
    ) -> Mail:
        """``lines`` are names and quantities."""
        return self._mail(occasion, key, to, language=language, unsubscribe=unsubscribe, lines=lines)

    def _mail(
        self,
        occasion: Occasion,
        key: str,
        to: str,
        *,
        language: str | None = None,
        unsubscribe: str | None = None,
        **facts: object,
    ) -> Mail:
        words = spoken(language or self._language)
        text, html = words.written(
            occasion, self._zone, {**facts, "shop_name": self._shop_name, "unsubscribe": unsubscribe}
        )
        subject = f"{self._shop_name}: {words.subject(occasion, number=facts.get('number'))}"
        return Mail(key=key, to=to, subject=subject, text=text, html=html, unsubscribe=unsubscribe)
