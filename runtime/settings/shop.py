"""What the shop is, what its carts may hold, and how its catalogue is filled."""

from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from domain.cart_reminders import MOST_EVER, ReminderRules
from domain.cart_tidying import TidyCarts
from domain.carts import MOST_LINES, MOST_UNITS, CartCaps, MergeStrategy
from domain.deadlines import Term
from domain.inventory import Allocation, StockRules
from domain.languages import Languages
from runtime.settings.section import Section

LanguageTag = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


def known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone of the IANA list, such as Europe/Berlin") from None
    return name


class Shop(Section):
    """What the shop is called, where it is, and by which rules it sells."""

    name: str = "Sutler"
    """What the shop is called in mails and authenticator apps."""
    currency: str = "USD"
    """The currency (ISO 4217) in which prices are written where nothing else is said."""
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")] = "US"
    """Where carts are priced to that have no address yet."""
    public_url: str = "http://127.0.0.1:8080"
    """Where customers reach the API; used in links that are mailed."""
    return_days: Annotated[int, Field(ge=0)] = 30
    """How long after its delivery something may be sent back: to the end of the last of these days; 0: not at all."""
    language: LanguageTag = "en"
    """In which products and categories are written where nothing else is said (BCP 47)."""
    languages: tuple[LanguageTag, ...] = ()
    """Others in which they may be written as well, as a JSON list."""
    time_zone: Annotated[str, AfterValidator(known_zone)] = "UTC"
    """Of the IANA list, such as `Europe/Berlin`: when a day ends, and the clock that mails go by."""
    low_stock: Annotated[int, Field(ge=0)] = 5
    """So many units of a variant, or fewer, are few, unless the variant has a line of its own; 0: only none is few."""
    allocation: Allocation = Allocation.PRIORITY
    """Which location gives the units of an order: the first by priority, or the one with the most."""

    @property
    def spoken(self) -> Languages:
        return Languages(self.language, tuple(tag for tag in self.languages if tag != self.language))

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def return_term(self) -> Term:
        return Term(days=self.return_days, zone=self.zone)

    @property
    def stock_rules(self) -> StockRules:
        return StockRules(low_stock=self.low_stock, allocation=self.allocation)


class Carts(Section):
    """What a cart may hold, and how long it is kept: `docs/carts.md`."""

    max_lines: Annotated[int, Field(ge=1, le=MOST_LINES)] = 200
    """How many different variants one cart may hold."""
    max_units: Annotated[int, Field(ge=1, le=MOST_UNITS)] = 10_000
    """How many units one cart may hold in all."""
    merge_strategy: MergeStrategy = MergeStrategy.SUM
    """What becomes of things that are in a guest's cart and in the customer's, when they do not choose."""

    empty_hours: Annotated[int, Field(ge=1)] = 6
    """How long after its last change an empty cart is kept."""
    guest_days: Annotated[int, Field(ge=1)] = 30
    """How long a guest's; one that was ever checked out is always kept."""
    customer_days: Annotated[int, Field(ge=1)] = 90
    """How long after its last change a customer's cart is kept."""

    reminder_idle_hours: Annotated[int, Field(ge=1)] = 24
    """How long a cart was left when whoever agreed to that is reminded of it."""
    reminders_most: Annotated[int, Field(ge=0, le=MOST_EVER)] = 2
    """How often at most about one cart, and to one address in a week; 0: never."""

    @property
    def reminders(self) -> ReminderRules:
        return ReminderRules(idle=timedelta(hours=self.reminder_idle_hours), most=self.reminders_most)

    @property
    def tidying(self) -> TidyCarts:
        return TidyCarts(
            empty_seconds=timedelta(hours=self.empty_hours).total_seconds(),
            guest_seconds=timedelta(days=self.guest_days).total_seconds(),
            customer_seconds=timedelta(days=self.customer_days).total_seconds(),
        )

    @property
    def caps(self) -> CartCaps:
        return CartCaps(lines=self.max_lines, units=self.max_units)


class Catalog(Section):
    """Imports and exports of products: `docs/catalog.md`."""

    import_max_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024 * 1024
    """The largest file that may be sent to be imported."""
    chunk_rows: Annotated[int, Field(ge=1, le=5000)] = 500
    """About how many rows are imported in one transaction; changes of products by others wait for its end."""
    keep_days: Annotated[int, Field(ge=1)] = 7
    """How long the file of an import and its failed rows are kept after it has ended."""

    @property
    def keep(self) -> timedelta:
        return timedelta(days=self.keep_days)
