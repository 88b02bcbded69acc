"""Where the HTTP API listens, and how much it takes upon itself."""

from typing import Annotated

from pydantic import AfterValidator, Field, IPvAnyNetwork

from domain.limits import Quota, known_name
from runtime.settings.section import Port, Section


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
    others: dict[LimitName, QuotaText] = Field(default={})
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
