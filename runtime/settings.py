"""Every setting of every process, from the environment (prefix ``APP_``, nested with ``__``).

Where ``APP_SECRETS_DIR`` names a folder, as orchestrators mount secrets, each of its files named like a variable holds
that variable's value; the environment goes first.

A wrong value refuses to start and says which variable is wrong. Inner code never sees this module: it receives
the values it needs.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from db.engine import TimeLimits
from domain import baskets
from domain.cart_reminders import MOST_EVER, ReminderRules
from domain.cart_tidying import TidyCarts
from domain.carts import MOST_LINES, MOST_UNITS, CartCaps, MergeStrategy
from domain.deadlines import Term
from domain.events import Destination
from domain.inventory import Allocation, StockRules
from domain.languages import Languages
from domain.limits import EXACT, ONE_MACHINE, Quota, known_name
from domain.money import Rounding
from domain.notifications import MailTls
from domain.taxes import SHIPPING, STANDARD, Elsewhere, RoundedBy, TaxMode, TaxPolicy, WhenSilent
from domain.telemetry import LogLevel
from runtime.encryption_keys import keys_in

DEVELOPMENT_SECRETS = frozenset({"sk_test_sutler", "whsec_sutler", "sutler-demo-1", "EZTKsutler", "easypost-sutler"})

EXAMPLE_ACCOUNT = "Sutler, account 0000 0000 at the Example Bank"
"""Nobody should send real money there: production takes no bank transfers before it has an account of its own."""


SECRETS_DIR = "APP_SECRETS_DIR"


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Port = Annotated[int, Field(ge=1, le=65535)]


class Database(Section):
    """The shop's PostgreSQL, and how long may be waited for it."""

    url: SecretStr = SecretStr("postgresql+asyncpg://sutler_app:@127.0.0.1:54329/sutler")
    """SQLAlchemy URL of the shop's Postgres; the driver is always asyncpg. The API and the workers sign in by it."""
    owner_url: SecretStr | None = None
    """Whose the tables are: `sutler migrate` signs in by it. Unset, it is the same as ``url``."""
    reader_url: SecretStr | None = None
    """Who may look at everything but secrets, and change nothing: `sutler migrate` sees to the grants."""
    admin_url: SecretStr | None = None
    """Who may make roles. Where it is set, `sutler migrate` first makes the others, with their URLs' passwords."""
    replica_url: SecretStr | None = None
    """A streaming replica of it; the API reads the catalogue from there what its memory lacks."""
    shop_schema: str = "public"
    """Postgres schema that holds this shop's tables."""
    pool_size: Annotated[int, Field(ge=1, le=200)] = 10
    """Connections that one process keeps open."""
    pool_wait_seconds: Annotated[float, Field(gt=0)] = 5.0
    """How long a request waits for a free connection, or for a new one, before it is answered 503."""
    statement_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long a statement of a request may take before it is undone and answered 503; 0: as long as it takes."""
    lock_seconds: Annotated[float, Field(ge=0)] = 5.0
    """How long a request may wait for others who change the same."""
    activity_statement_seconds: Annotated[float, Field(ge=0)] = 120.0
    """The same for activities, which do more at once, and are tried again."""
    activity_lock_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long an activity may wait for others who change the same."""
    idle_in_transaction_seconds: Annotated[float, Field(ge=0)] = 60.0
    """After that Postgres ends a transaction in which nothing is asked any more, and frees what it has locked."""
    activity_idle_in_transaction_seconds: Annotated[float, Field(ge=0)] = 300.0
    """Some activities ask others meanwhile: a bundle of letters is held while a slow mail server takes them."""

    @property
    def limits_of_requests(self) -> TimeLimits:
        return TimeLimits(
            statement=self.statement_seconds, lock=self.lock_seconds, idle=self.idle_in_transaction_seconds
        )

    @property
    def limits_of_activities(self) -> TimeLimits:
        return TimeLimits(
            statement=self.activity_statement_seconds,
            lock=self.activity_lock_seconds,
            idle=self.activity_idle_in_transaction_seconds,
        )


class Cache(Section):
    """The shop's Valkey or Redis, and what is kept of the catalogue in memory."""

    url: SecretStr = SecretStr("redis://127.0.0.1:63799/0")
    """Valkey or Redis. All it holds may vanish at any moment."""
    prefix: str = "sutler:"
    """Put before every key, so that shops can share a server."""
    product_seconds: Annotated[int, Field(ge=1)] = 3600
    """How long a product is kept at most; what changes is thrown away at once."""
    user_seconds: Annotated[int, Field(ge=1)] = 300
    """How long a profile is kept at most; what changes is thrown away at once."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 1.0
    """How long an answer is waited for; then it is asked once more."""
    breaker_failures: Annotated[int, Field(ge=1)] = 3
    """After so many questions in a row that were not answered, it is left alone for a moment."""
    breaker_seconds: Annotated[float, Field(gt=0)] = 1.0
    """That moment; then one request tries, and the others go on without it until that one was answered."""
    memory_megabytes: Annotated[int, Field(ge=1)] = 128
    """What one API process keeps of the catalogue in its own memory, at most."""


class Temporal(Section):
    """The workflow engine."""

    address: str = "127.0.0.1:7233"
    """Host and port of the Temporal frontend."""
    namespace: str = "default"
    """The engine's namespace, which has to be there."""
    is_compressed: bool = False
    """Compress what goes to the engine: for slow networks; inside a data centre it only costs processor time."""
    encryption_keys: SecretStr = SecretStr("")
    """What payloads are encrypted with: ``id:base64`` of 32 random bytes, several with commas between, the newest
    first. Empty, they are not encrypted, which production refuses."""
    ui_url: str = "http://127.0.0.1:8233"
    """Where people open the Web UI; printed in links, never called."""


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


class Carriers(Section):
    """Who brings parcels, and tells where they are: `docs/shipping.md`."""

    easypost_api_base: str = "https://api.easypost.com/v2"
    """EasyPost's API, or the sandbox that stands in for it."""
    easypost_api_key: SecretStr | None = None
    """The key by which the shop asks EasyPost to tell of parcels that have left; unset, it asks nobody."""
    easypost_webhook_secret: SecretStr | None = None
    """What EasyPost signs its messages about parcels with; unset, none is taken."""
    timeout_seconds: Annotated[int, Field(ge=1, le=25)] = 10
    """How long EasyPost may be silent in one call before it counts as unanswered; it is asked again for a day."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    """After so many calls in a row that were not answered, a worker leaves EasyPost alone for a while."""
    breaker_seconds: Annotated[float, Field(gt=0)] = 5.0
    """That while; then one call tries, and the others fail at once until that one was answered."""
    messages_keep_days: Annotated[int, Field(ge=30)] = 90
    """How long their messages can be seen, also those about parcels that nobody knows; parcels keep what they said."""

    @property
    def messages_kept(self) -> timedelta:
        return timedelta(days=self.messages_keep_days)


class Mail(Section):
    """How the shop's letters leave: `docs/mail.md`."""

    host: str = "127.0.0.1"
    """The SMTP server that takes the shop's mail."""
    port: Port = 8025
    """Where that server listens."""
    username: str | None = None
    """Who signs in there; unset, nobody does."""
    password: SecretStr | None = None
    """By which password."""
    tls: MailTls = MailTls.OFFERED
    """`offered`: where the server offers it; `starttls`: it has to; `implicit`: from the first byte on (port 465)."""
    ca_file: Path | None = None
    """Certificates of those who may vouch for the server, instead of those whom the system trusts (PEM)."""
    sender: str = "Sutler <shop@example.com>"
    """Whom the mails come from."""


class Auth(Section):
    """Accounts, passwords and tokens: `docs/identity.md`."""

    signing_key_file: Path = Path(".sutler/signing-key.pem")
    """Ed25519 or P-256 private keys (PEM) that sign the tokens; made on first use outside production."""
    issuer: str = "sutler"
    """Who has signed a token, as the token says; others' are refused."""
    access_token_seconds: Annotated[int, Field(ge=60)] = 900
    """How long an access token is good."""
    refresh_token_seconds: Annotated[int, Field(ge=3600)] = 30 * 24 * 3600
    """How long somebody stays signed in without coming back."""
    session_days: Annotated[int, Field(ge=1)] = 90
    """How long somebody stays signed in at most, however often they come back."""
    verification_hours: Annotated[int, Field(ge=1)] = 72
    """How long a new account may stay unverified before its e-mail and username are free again."""
    reminder_hours: Annotated[int, Field(ge=1)] = 24
    """How long after registration an account that was not verified is reminded of it."""
    reset_minutes: Annotated[int, Field(ge=5)] = 60
    """How long a mailed link to choose a new password works."""
    invitation_hours: Annotated[int, Field(ge=1)] = 72
    """How long a mailed invitation to the staff works."""
    sealing_key_file: Path = Path(".sutler/sealing-key")
    """Seals the secrets of second factors: 32 bytes in base64, one key a line; made on first use outside production."""
    staff_needs_second_factor: bool | None = None
    """Whether staff without a second factor are let in as customers only; unset, as in production and nowhere else."""
    email_change_hours: Annotated[int, Field(ge=1)] = 24
    """How long both mailboxes have to agree to a new e-mail address."""
    stolen_passwords_url: str = ""
    """Who is asked whether a new password was stolen: ``https://api.pwnedpasswords.com``, or what answers like it.
    Empty, nobody is."""
    stolen_passwords_seconds: Annotated[float, Field(gt=0, le=10)] = 1.0
    """How long whoever chooses a password waits for that; then it is judged without."""


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


class Tax(Section):
    """Which taxes are due, and who says so: `docs/taxes.md`."""

    mode: TaxMode = TaxMode.NONE
    """`none`: the shop takes no taxes. `table`: its own table of regions and rates says what is due. `provider`: Stripe
    Tax does, asked under the key and address of the payments by card."""
    elsewhere: Elsewhere = Elsewhere.REFUSE
    """What a destination means of which the table knows nothing: nothing is sold there, or it is taxed like home."""
    home_country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    """Where the shop is at home. Carts without an address are estimated by it; empty, they show no tax yet."""
    home_region: str = ""
    """The region there, such as a state, where the country's taxes differ by it."""
    home_postal_code: str = ""
    """The postal code there, where taxes differ by it."""
    rounding: Rounding = Rounding.HALF_UP
    """Where half a minor unit goes, of taxes and of discounts."""
    rounded_by: RoundedBy = RoundedBy.LINE
    """Whether each line's tax is rounded, or that of all lines with the same rates at once."""
    when_silent: WhenSilent = WhenSilent.REFUSE
    """While the provider does not answer, a checkout is refused (`refuse`), or goes by the `table` and says so."""
    inclusive_countries: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ()
    """Where prices contain their tax, as the provider is told, such as ``["DE", "FR"]``."""
    codes: dict[str, str] = {}
    """The provider's names of the shop's tax classes, beside those of `standard` and `shipping`."""
    timeout_seconds: Annotated[float, Field(gt=0, le=4)] = 2.5
    """How long one question to the provider may take; within eight seconds it is asked again."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    """After so many questions in a row that were not answered, a process leaves the provider alone for a while."""
    breaker_seconds: Annotated[float, Field(gt=0)] = 5.0
    """That while; then one question tries, and the others fail at once until that one was answered."""
    answers_hold_seconds: Annotated[int, Field(ge=1, le=86_400)] = 3600
    """How long an answer holds for the same goods to the same place."""

    @model_validator(mode="after")
    def has_the_home_that_it_needs(self) -> Self:
        if self.elsewhere is Elsewhere.HOME and not self.home_country:
            raise ValueError("APP_TAX__ELSEWHERE=home needs a home: set APP_TAX__HOME_COUNTRY")
        return self

    @property
    def policy(self) -> TaxPolicy:
        home = baskets.Destination(
            country=self.home_country, region=self.home_region or None, postal_code=self.home_postal_code
        )
        return TaxPolicy(
            mode=self.mode,
            elsewhere=self.elsewhere,
            home=home if self.home_country else None,
            rounding=self.rounding,
            rounded_by=self.rounded_by,
            when_silent=self.when_silent,
            inclusive_countries=self.inclusive_countries,
            answers_hold_seconds=self.answers_hold_seconds,
        )

    @property
    def all_codes(self) -> dict[str, str]:
        """Stripe's for goods that can be touched, and for shipping, unless the shop says something else."""
        return {STANDARD: "txcd_99999999", SHIPPING: "txcd_92010001", **self.codes}


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


class Api(Section):
    """Where the HTTP API listens, and how patient it is."""

    host: str = "127.0.0.1"
    """The address on which the API listens; 0.0.0.0 for all of the machine's."""
    port: Port = 8080
    """The port on which it listens."""
    checkout_wait_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    """How long a checkout is waited for before the answer becomes 202."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """The largest body of a request, files for imports excepted; more is answered 413."""
    body_pause_seconds: Annotated[float, Field(gt=0)] = 10.0
    """A request whose next piece does not come within this time is answered 408."""
    body_seconds: Annotated[float, Field(gt=0)] = 30.0
    """So is one that has not come whole by then, files for imports excepted."""
    headers_seconds: Annotated[int, Field(ge=1)] = 30
    """A connection whose request does not say within this time what it wants is closed."""
    headers_max_bytes: Annotated[int, Field(ge=8192)] = 32 * 1024
    """Longer ones are answered 431, at the latest when they are twice as long."""
    leave_seconds: Annotated[float, Field(ge=0, le=60)] | None = None
    """How long a process that was told to stop goes on answering while ``/ready`` says that it leaves, so that gateways
    notice before it stops listening; unset, 5 in production and 0 elsewhere."""
    gateway_seconds: Annotated[int, Field(ge=0, le=60)] = 0
    """How long gateways may show a catalogue answer to everybody before they ask again; 0: never without asking."""
    cors_origins: tuple[str, ...] = ()
    """Whose pages may ask from a browser, such as ``["https://shop.example.com"]``; ours need not be named."""
    streams_per_caller: Annotated[int, Field(ge=1)] = 50
    """How many timelines one account, one key, or the guests of one address may follow at a time in one process."""
    stream_seconds: Annotated[int, Field(ge=1)] = 1800
    """After that a stream ends, and whoever still follows comes again, to whichever process there is."""
    stream_silence_seconds: Annotated[float, Field(gt=0)] = 15.0
    """After so long a silence a comment is sent on a stream: what is in between might cut it otherwise."""
    stream_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024
    """A stream ends as well when so much was said: it would have to be kept for whoever does not read it."""
    rush: Annotated[int, Field(ge=1)] = 20
    """So many customers whom one process told within ten seconds that a variant is sold out make it hot."""


class AtOnce(Section):
    """How many requests of a kind one API process works on at a time; those over it are answered 503 at once."""

    checkouts: Annotated[int, Field(ge=1)] = 300
    """At 30 a second, the last of them waits for as long as a checkout is waited for at all."""
    catalogue: Annotated[int, Field(ge=1)] = 500
    """Answers that are ready in memory do not count."""
    accounts: Annotated[int, Field(ge=1)] = 100
    """Registering, signing in and what else concerns accounts."""
    staff: Annotated[int, Field(ge=1)] = 100
    """What the staff asks."""
    webhooks: Annotated[int, Field(ge=1)] = 100
    """Messages of providers and carriers."""
    streams: Annotated[int, Field(ge=1)] = 1000
    """Timelines of orders that are followed; each of them stays open."""
    others: Annotated[int, Field(ge=1)] = 500
    """All that is none of these."""


QuotaText = Annotated[str, AfterValidator(lambda text: str(Quota.of(text)))]
LimitName = Annotated[str, AfterValidator(known_name)]


class Limits(Section):
    """How often one may ask, such as ``100/min``; unset, ``domain.limits`` says: ``EXACT`` holds in production."""

    everything: QuotaText | None = None
    """All requests of the shop together."""
    address: QuotaText | None = None
    """Whatever has no limit of its own below, from one IPv4 address, or one IPv6 network of 64 bits."""
    address_login: QuotaText | None = None
    """Trying to sign in, from one address."""
    address_catalogue: QuotaText | None = None
    """Reading products, categories, attributes and suggestions."""
    address_webhooks: QuotaText | None = None
    """Messages of providers and carriers, from one address."""
    user: QuotaText | None = None
    """What one account changes."""
    wrong_passwords: Annotated[int, Field(ge=1)] = 5
    """So many for one account cost nothing; each next try then waits twice as long as the one before."""
    wrong_passwords_address: Annotated[int, Field(ge=1)] | None = None
    """The same for all accounts from one address: 20 in production, no limit to speak of elsewhere."""
    longest_delay_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900
    """The longest that somebody who tries passwords is made to wait."""
    others: dict[LimitName, QuotaText] = {}
    """Limits of their own for other kinds, such as ``{"user.staff": "300/min"}``."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Networks of the proxies in front of the API, such as ``["10.0.0.0/8"]``: only they may say who asks."""

    @property
    def chosen(self) -> dict[str, Quota]:
        ours = {
            "everything": self.everything,
            "address": self.address,
            "address.login": self.address_login,
            "address.catalogue": self.address_catalogue,
            "address.webhooks": self.address_webhooks,
            "user": self.user,
        }
        return {name: Quota.of(text) for name, text in {**ours, **self.others}.items() if text is not None}


class Workers(Section):
    """How a worker works, and where it can be watched."""

    sandboxed: bool = True
    """Run workflow code in Temporal's determinism sandbox. Costs a quarter of a worker's CPU; CI always has it on."""
    max_concurrent_activities: Annotated[int, Field(ge=1)] = 20
    """So many activities of one task queue a process carries out at a time."""
    max_concurrent_workflow_tasks: Annotated[int, Field(ge=2)] = 10
    """So many stories of one task queue a process moves on at a time."""
    graceful_stop_seconds: Annotated[int, Field(ge=1)] = 15
    """How long a worker that was told to stop may finish what it has begun."""
    metrics_host: str = "0.0.0.0"  # noqa: S104 (Prometheus and orchestrators ask from elsewhere)
    """The address on which a worker answers what the ports below are for."""
    metrics_port: Port | None = None
    """Where the process answers ``/metrics``, ``/health`` and ``/ready``; unset, it does not."""
    engine_metrics_port: Port | None = None
    """Where what the engine's SDK counts is read, at ``/metrics``: queues, latencies, failures; unset, nowhere."""
    nice: Annotated[int, Field(ge=0, le=19)] = 0
    """How far the process gives way to others on the same machine; where workers have machines of their own, 0."""
    deployment: str | None = None
    """The Worker Deployment that this process belongs to; together with ``build_id`` it makes the engine tell builds of
    the code apart. Unset, as in development, every worker takes every order."""
    build_id: str | None = None
    """Which build of the code this is, such as the tag of its image; no two builds may share one."""
    breakpoints: Path | None = None
    """Where a chaos run names the steps at which workers stop so that something can be killed; only in tests."""


class Operations(Section):
    """What the shop does by the clock."""

    is_scheduled: bool = True
    """Audit and reconciliation run by the clock; otherwise their schedules are made paused."""


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


class Events(Section):
    """Where the rest of the company reads what has happened: `docs/events.md`."""

    destination: Destination = Destination.REDIS
    """`redis`: a stream; `kafka`: a topic; `none`: they are read from the API alone."""
    source: str = ""
    """Who tells them (CloudEvents' ``source``); empty, it is ``APP_SHOP__PUBLIC_URL``."""
    keep_days: Annotated[int, Field(ge=1)] = 30
    """How long an event can be read again from the API after it was published."""
    redis_url: SecretStr | None = None
    """A Redis or Valkey that forgets nothing; unset, the cache's, whose stream may vanish with all it holds."""
    stream: str = "sutler:events"
    """What the Redis stream is called."""
    max_length: Annotated[int, Field(ge=10_000)] = 1_000_000
    """About how many events the stream holds; the oldest make room for new ones."""
    kafka_servers: str = ""
    """Host and port of one or more brokers, with commas between."""
    kafka_topic: str = "sutler.events"
    """What the Kafka topic is called."""
    kafka_is_idempotent: bool = True
    """Whether brokers see to it that what is sent again is there once; only some development brokers cannot."""
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How brokers are spoken to: with TLS (``SSL``) or without, signing in (``SASL``) or not."""
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How the shop signs in there."""
    kafka_username: str | None = None
    """Who signs in there."""
    kafka_password: SecretStr | None = None
    """By which password."""
    kafka_ca_file: Path | None = None
    """Certificates of those who may vouch for the brokers, instead of those whom the system trusts (PEM)."""
    kafka_certificate_file: Path | None = None
    """The shop's own certificate and those above it (PEM), where brokers tell clients by it."""
    kafka_key_file: Path | None = None
    """The key of that certificate; unset, it is in the same file."""

    @model_validator(mode="after")
    def knows_its_brokers(self) -> Self:
        if self.destination is not Destination.KAFKA:
            return self
        security = f"APP_EVENTS__KAFKA_SECURITY={self.kafka_security}"
        if not self.kafka_servers:
            raise ValueError("APP_EVENTS__DESTINATION=kafka needs brokers: set APP_EVENTS__KAFKA_SERVERS")
        if self.kafka_security.startswith("SASL") and not (self.kafka_username and self.kafka_password):
            raise ValueError(f"{security} needs APP_EVENTS__KAFKA_USERNAME and APP_EVENTS__KAFKA_PASSWORD")
        if self.kafka_key_file and not self.kafka_certificate_file:
            raise ValueError("APP_EVENTS__KAFKA_KEY_FILE needs APP_EVENTS__KAFKA_CERTIFICATE_FILE")
        if not self.kafka_security.endswith("SSL") and (self.kafka_ca_file or self.kafka_certificate_file):
            raise ValueError(f"{security} speaks no TLS, and there are files for it")
        return self


class Telemetry(Section):
    """Logs and metrics are always there; traces where a collector is named: `docs/telemetry.md`."""

    otlp_endpoint: str = ""
    """An OpenTelemetry collector that takes OTLP over HTTP, such as ``http://127.0.0.1:4318``; empty: no traces."""
    otlp_headers: SecretStr | None = None
    """What it wants to be told with them, such as ``authorization=Bearer abc``; several with commas between."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Which share of requests is traced where the caller has not decided it (the last digit of ``traceparent``)."""
    ready_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The same of answers that are ready in memory, at most: a span costs more than such an answer, and says little."""

    @property
    def headers(self) -> dict[str, str]:
        written = self.otlp_headers.get_secret_value() if self.otlp_headers else ""
        pairs = (pair.partition("=") for pair in written.split(",") if pair.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}


class Webhooks(Section):
    """Where the shop tells other servers what has happened: `docs/webhooks.md`."""

    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 15.0
    """How long an endpoint may take for its answer."""
    keep_days: Annotated[int, Field(ge=1)] = 30
    """How long it can be seen, and asked for again, what was sent; what waits is kept until it is sent."""
    at_once: Annotated[int, Field(ge=1)] = 100
    """So many endpoints one worker waits for at the same time."""

    @property
    def kept(self) -> timedelta:
        return timedelta(days=self.keep_days)


class Sandbox(Section):
    """What stands in for the payment provider, the carrier and the mail server on a developer's machine."""

    host: str = "127.0.0.1"
    """The address on which it listens."""
    port: Port = 8090
    """Where it answers as Stripe and EasyPost do."""
    smtp_port: Port = 8025
    """Where it takes mail."""
    database: Path = Path(".sutler/sandbox.sqlite3")
    """Where the sandbox keeps its payments, mails and ledger."""
    webhook_url: str = "http://127.0.0.1:8080/v1/webhooks/stripe"
    """Where the sandbox sends its signed webhooks."""
    carrier_webhook_url: str = "http://127.0.0.1:8080/v1/webhooks/easypost"
    """Where it tells of parcels, as EasyPost does."""
    webhook_events: tuple[str, ...] = (
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
    )
    """What the shop's endpoint listens to, as one chooses it in Stripe's dashboard; ``*`` for everything."""


class Demo(Section):
    """The accounts of `sutler accounts demo`."""

    password: SecretStr = SecretStr("sutler-demo-1")
    """Password of the two demo accounts; none is made in production."""


def secret_files(settings: type[BaseSettings]) -> NestedSecretsSettingsSource | None:
    """The values that orchestrators have mounted as files, if they have."""
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return None
    return NestedSecretsSettingsSource(
        SecretsSettingsSource(settings),
        secrets_dir=folder,
        secrets_dir_missing="error",
        secrets_prefix="APP_",
        secrets_nested_delimiter="__",
    )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="APP_",
        env_nested_delimiter="__",
        env_nested_max_split=1,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # which may be a secret
        use_attribute_docstrings=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = secret_files(settings_cls)
        return (init_settings, env_settings, files) if files else (init_settings, env_settings)

    env: Environment = Environment.DEVELOPMENT
    """What this shop is for; `production` refuses what is only good enough for a developer's machine."""
    log_level: LogLevel = LogLevel.INFO
    """What is logged at least; it can be changed while the shop runs (`PUT /v1/admin/log-level`)."""
    database: Database = Database()
    cache: Cache = Cache()
    temporal: Temporal = Temporal()
    payments: Payments = Payments()
    mail: Mail = Mail()
    auth: Auth = Auth()
    shop: Shop = Shop()
    carts: Carts = Carts()
    tax: Tax = Tax()
    api: Api = Api()
    at_once: AtOnce = AtOnce()
    limits: Limits = Limits()
    workers: Workers = Workers()
    operations: Operations = Operations()
    catalog: Catalog = Catalog()
    events: Events = Events()
    webhooks: Webhooks = Webhooks()
    carriers: Carriers = Carriers()
    telemetry: Telemetry = Telemetry()
    sandbox: Sandbox = Sandbox()
    demo: Demo = Demo()

    @property
    def staff_needs_second_factor(self) -> bool:
        chosen = self.auth.staff_needs_second_factor
        return self.env is Environment.PRODUCTION if chosen is None else chosen

    @property
    def leave_seconds(self) -> float:
        in_production = 5.0 if self.env is Environment.PRODUCTION else 0.0
        return in_production if self.api.leave_seconds is None else self.api.leave_seconds

    @property
    def transfer_to(self) -> str | None:
        """Where customers send bank transfers to; ``None`` when the shop takes none."""
        if self.env is Environment.PRODUCTION and self.payments.transfer_to == EXAMPLE_ACCOUNT:
            return None
        return self.payments.transfer_to or None

    @property
    def event_source(self) -> str:
        return self.events.source or self.shop.public_url

    @property
    def transfer_term(self) -> Term:
        """How long an order waits for its bank transfer."""
        return Term(days=self.payments.transfer_days, zone=self.shop.zone)

    @property
    def quotas(self) -> dict[str, Quota]:
        """The limits by name. Only outside production they are wide when nothing was set."""
        return {**(EXACT if self.env is Environment.PRODUCTION else ONE_MACHINE), **self.limits.chosen}

    @property
    def wrong_passwords_from_an_address(self) -> int:
        return self.limits.wrong_passwords_address or (20 if self.env is Environment.PRODUCTION else 1_000_000)

    @model_validator(mode="after")
    def go_together(self) -> Self:
        """Whatever does not is told at once, a line each."""
        if broken := list(self.broken_rules()):
            raise ValueError("\n".join(broken))
        return self

    def broken_rules(self) -> Iterator[str]:
        if (self.workers.deployment is None) is not (self.workers.build_id is None):
            yield "APP_WORKERS__DEPLOYMENT and APP_WORKERS__BUILD_ID belong together: set both, or none"
        if self.workers.breakpoints is not None and self.env is not Environment.TEST:
            yield "APP_WORKERS__BREAKPOINTS stops orders at every step; it is possible with APP_ENV=test only"
        try:
            keys = keys_in(self.temporal.encryption_keys.get_secret_value())
        except ValueError as error:
            yield f"APP_TEMPORAL__ENCRYPTION_KEYS: {error}"
        else:
            if self.env is Environment.PRODUCTION and not keys:
                yield "APP_TEMPORAL__ENCRYPTION_KEYS is empty; production encrypts what goes to the engine"
        if self.env is Environment.PRODUCTION:
            yield from self._secrets_of_development()
            yield from self._reached_without_tls()
            yield from self._told_twice_or_to_everybody()

    def _secrets_of_development(self) -> Iterator[str]:
        for name, section in self:
            if not isinstance(section, Section) or isinstance(section, Demo):
                continue
            for field, value in section:
                of_development = type(section).model_fields[field].default
                if not isinstance(value, SecretStr) or not value.get_secret_value():
                    continue
                if value == of_development or value.get_secret_value() in DEVELOPMENT_SECRETS:
                    yield (
                        f"APP_{name.upper()}__{field.upper()} still has its development value; "
                        "set your own before production"
                    )

    def _reached_without_tls(self) -> Iterator[str]:
        if not self.payments.stripe_api_base.startswith("https:"):
            yield "APP_PAYMENTS__STRIPE_API_BASE is not reached by https; production does not pay there"
        if self.carriers.easypost_api_key and not self.carriers.easypost_api_base.startswith("https:"):
            yield "APP_CARRIERS__EASYPOST_API_BASE is not reached by https; production tells nobody's address there"
        url = self.auth.stolen_passwords_url
        if url and not url.startswith("https:"):
            yield "APP_AUTH__STOLEN_PASSWORDS_URL is not reached by https; production asks nobody there"

    def _told_twice_or_to_everybody(self) -> Iterator[str]:
        events = self.events
        if events.destination is Destination.KAFKA:
            if not events.kafka_is_idempotent:
                yield "APP_EVENTS__KAFKA_IS_IDEMPOTENT is false; production does not tell events twice"
            if (events.kafka_security, events.kafka_mechanism) == ("SASL_PLAINTEXT", "PLAIN"):
                yield "APP_EVENTS__KAFKA_PASSWORD would be sent to brokers for everybody to read; use SASL_SSL"
