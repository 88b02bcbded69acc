"""Outgoing webhooks: who is told what, how patient the shop is with whoever does not listen, and when it stops."""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from uuid import UUID

PING = "webhook.ping"
"""The type of what is sent to try an endpoint; nothing has happened."""

SECRET_PREFIX = "whsec_"  # noqa: S105 (how Standard Webhooks has every secret begin)
SECRET_BYTES = 32

MOST_ENDPOINTS = 50
MOST_SECRETS = 5
"""That sign for one endpoint at a time."""
MOST_REPLAYED = 10_000
MOST_TYPES = 100
LONGEST_URL = 2000
LONGEST_ANSWER = 1000
"""Bytes of an answer that are kept, so that somebody can see what was wrong."""
MOST_ATTEMPTS_KEPT = 50
"""Of one delivery; the newest stay."""
MOST_UNDERWAY = 8
"""Orders whose events are on their way to one endpoint at the same time, so that a slow one keeps few hands busy."""

HOUR = timedelta(hours=1)
PAUSES = (
    *(timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10), timedelta(minutes=30)),
    *(HOUR, 2 * HOUR, 4 * HOUR),
    *(6 * HOUR,) * 11,
)
"""After each failure of one event. Together more than 72 hours, jitter not counted; then the event is given up."""
JITTER = 0.2
"""By so much of itself a pause is longer at most: those that failed together do not come back together."""
LONGEST_WISH = HOUR
"""How long an endpoint may ask us to stay away (``Retry-After``), beyond what we would."""

PAUSED_AFTER_FAILURES = 10
PAUSED_AFTER = timedelta(minutes=10)
PAUSED_AFTER_ORDERS = 2
"""So many failures in a row, over so long a time, of events of so many orders: then the endpoint counts as dead. One
order alone may have an event that it will never take."""
PROBE_PAUSES = (*(timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 15)), timedelta(minutes=30))
"""Between probes of a dead endpoint; the last one again and again."""

OVERLAP_HOURS = 24
LONGEST_OVERLAP_HOURS = 7 * 24
"""How long the secret before a new one signs as well."""


class EndpointStatus(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    """By the shop, because nothing gets through; its events wait, and probes find out when it is back."""
    DISABLED = "disabled"
    """By a person; its events are not kept for it."""


class PauseReason(StrEnum):
    FAILING = "failing"
    GONE = "gone"
    """It said so: 410."""


class DeliveryStatus(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    """Tried for three days, or a ping that was not taken; it can be asked for again."""


@dataclass(frozen=True, kw_only=True)
class DeliverEvents:
    """The story of one order at one endpoint: all events with this key that wait for it."""

    endpoint_id: UUID
    key: str


@dataclass(frozen=True, kw_only=True)
class DeliverNow:
    endpoint_id: UUID
    key: str
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Lane:
    """How far the events of one order are at one endpoint."""

    delivered: int
    look_again_at: datetime | None = None
    """When the first that waits is to be tried; ``None`` when none waits, or the endpoint is not to be asked."""


@dataclass(frozen=True, kw_only=True)
class ProbeEndpoint:
    endpoint_id: UUID
    probes: int = 0
    """How many there were before."""


@dataclass(frozen=True, kw_only=True)
class ProbeNow:
    endpoint_id: UUID
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Probed:
    is_paused: bool
    """Still; false also when it was disabled or removed."""


@dataclass(frozen=True, kw_only=True)
class HandOut:
    seconds: float
    """How long the shift lasts."""


@dataclass(frozen=True, kw_only=True)
class HandedOut:
    stories: int


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One event on its way to one endpoint: the same bytes and id each time."""

    delivery_id: UUID
    endpoint_id: UUID
    url: str
    event_id: UUID
    is_ping: bool
    body: bytes
    sealed_secrets: tuple[bytes, ...]
    """The newest first; all of them sign."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one attempt."""

    status: int | None
    """``None`` when there was no answer."""
    milliseconds: int
    said: str = ""
    problem: str | None = None
    wishes_pause: timedelta | None = None

    @property
    def is_taken(self) -> bool:
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_gone(self) -> bool:
        return self.status == HTTPStatus.GONE


def new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def is_wanted(wanted: tuple[str, ...], happened: str) -> bool:
    """An endpoint that names no types wants all of them."""
    return not wanted or happened in wanted


def pause_after(failures: int, chance: float, wish: timedelta | None = None) -> timedelta | None:
    """How long an event rests that has failed so often; ``None`` when it is given up. ``chance``: from 0 to 1."""
    if failures > len(PAUSES):
        return None
    ours = PAUSES[failures - 1] * (1 + JITTER * chance)
    return max(ours, min(wish, LONGEST_WISH)) if wish is not None else ours


def probe_pause(probes: int, chance: float) -> timedelta:
    return PROBE_PAUSES[min(probes, len(PROBE_PAUSES) - 1)] * (1 + JITTER * chance)


def pauses(answer: Answer, *, failures: int, failing_for: timedelta, orders: int) -> PauseReason | None:
    """Why the endpoint is left alone after this failure, if it is. ``orders``: so many have an event that fails."""
    if answer.is_gone:
        return PauseReason.GONE
    if failures >= PAUSED_AFTER_FAILURES and failing_for >= PAUSED_AFTER and orders >= PAUSED_AFTER_ORDERS:
        return PauseReason.FAILING
    return None
