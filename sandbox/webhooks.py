"""What happened, told to the shop: signed, at least once, and again until it is heard."""

import asyncio
import heapq
import hmac
import logging
from collections.abc import Callable, Container, Mapping
from typing import Literal, NamedTuple

import aiohttp
import msgspec

from sandbox import clock
from sandbox.faults import Faults, up_to
from sandbox.objects import Charge, Dispute, Event, EventData, EventRequest, PaymentIntent, Refund, new_id
from sandbox.shelves import Shelf
from sandbox.store import Store

# A shop that restarts is back within seconds; one that is broken should not be hammered.
PAUSES = (0.2, 0.5, 1, 2, 5, 15, 60, 300, 900, 3600)
GIVEN_UP_AFTER = 3 * 24 * 3600
AT_A_TIME = 8
PAUSE_PER_FAILURE = 0.1
LONGEST_PAUSE = 5.0
TIMEOUT = aiohttp.ClientTimeout(total=10)

log = logging.getLogger("sandbox.webhooks")


class Due(NamedTuple):
    """When a delivery is to be tried. Both name it: an id alone may be used again after a rollback."""

    at: float
    delivery: int


Sender = Literal["stripe", "easypost"]


class Letter(NamedTuple):
    sender: Sender
    body: bytes


class Outbox:
    """Events that have happened and the deliveries still owed for them; a heap knows which is due next."""

    def __init__(self, store: Store, events: Shelf[Event], faults: Faults, listened_to: Container[str]) -> None:
        self._store = store
        self._listened_to = listened_to
        self._events = events
        self._faults = faults
        self._due: list[Due] = []
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()
        self.recall()

    def recall(self) -> None:
        """Takes up what was still owed when the process ended."""
        self._due = [Due(*row) for row in self._store.all("SELECT next_at, id FROM deliveries")]
        heapq.heapify(self._due)

    def record(self, kind: str, about: PaymentIntent | Charge | Refund | Dispute, request: EventRequest) -> None:
        """Writes down that something happened and that the shop must hear of it; part of the caller's transaction."""
        event = Event(
            id=new_id("evt"),
            created=int(clock.now()),
            data=EventData(msgspec.to_builtins(about)),
            request=request,
            type=kind,
        )
        self._events.put(event)
        if kind not in self._listened_to and "*" not in self._listened_to:
            return
        self._owe(event.id)
        if self._faults.doubles_webhook():
            self._owe(event.id)

    def tell(self, event_id: str, body: bytes) -> None:
        """The same for what happens to a parcel."""
        self._store.write("INSERT INTO carrier_events (id, body) VALUES (?, ?)", event_id, body)
        self._owe(event_id)
        if self._faults.doubles_webhook():
            self._owe(event_id)

    def _owe(self, event_id: str) -> None:
        now = clock.now()
        faults = self._faults.plan.payments
        at = now + faults.webhook_delay_ms / 1000 + up_to(faults.webhook_jitter_ms)
        delivery = self._store.write(
            "INSERT INTO deliveries (event, attempts, first_at, next_at) VALUES (?, 0, ?, ?)", event_id, now, at
        )
        self._schedule(Due(at, delivery))

    def _schedule(self, due: Due) -> None:
        heapq.heappush(self._due, due)
        self._news.set()

    async def next_due(self) -> Due:
        """Waits until a delivery is due and hands it out."""
        async with self._turn:  # one waits for news, or every event would wake all who are idle
            while not self._due or self._due[0].at > clock.now():
                self._news.clear()
                patience = self._due[0].at - clock.now() if self._due else None
                try:
                    async with asyncio.timeout(patience):
                        await self._news.wait()
                except TimeoutError:
                    continue
            return heapq.heappop(self._due)

    def letter(self, due: Due) -> Letter | None:
        """What is to be delivered; nothing when the delivery was rolled back or forgotten."""
        row = self._store.one(LETTER, due.delivery, due.at)
        return Letter(*row) if row else None

    def settle(self, due: Due) -> None:
        """Strikes out what the shop has acknowledged."""
        self._store.write("DELETE FROM deliveries WHERE id = ? AND next_at = ?", due.delivery, due.at)

    def try_later(self, due: Due) -> None:
        """Puts a delivery back with a longer pause, or gives it up after three days."""
        row = self._store.one(
            "SELECT attempts, first_at FROM deliveries WHERE id = ? AND next_at = ?", due.delivery, due.at
        )
        if row is None:
            return
        attempts, first_at = row
        at = clock.now() + PAUSES[min(attempts, len(PAUSES) - 1)]
        if at > first_at + GIVEN_UP_AFTER:
            self.settle(due)
            return
        self._store.write(
            "UPDATE deliveries SET attempts = ?, next_at = ? WHERE id = ?", attempts + 1, at, due.delivery
        )
        self._schedule(Due(at, due.delivery))


LETTER = """
    SELECT CASE WHEN events.id IS NULL THEN 'easypost' ELSE 'stripe' END, coalesce(events.body, carrier_events.body)
    FROM deliveries LEFT JOIN events ON events.id = event LEFT JOIN carrier_events ON carrier_events.id = event
    WHERE deliveries.id = ? AND next_at = ?
"""


class Recipient(NamedTuple):
    """Where the shop hears of one sender, and what that sender signs with."""

    url: str
    headers: Callable[[bytes], Mapping[str, str]]


class Postman:
    """Carries the outbox to the shop, a few deliveries at a time over kept-alive connections."""

    def __init__(self, outbox: Outbox, recipients: Mapping[Sender, Recipient]) -> None:
        self._outbox = outbox
        self._recipients = recipients
        self._unheard_in_a_row = 0

    async def run(self) -> None:
        """Delivers until cancelled."""
        connector = aiohttp.TCPConnector(limit=AT_A_TIME, keepalive_timeout=60)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, auto_decompress=False) as session,
            asyncio.TaskGroup() as rounds,
        ):
            for _ in range(AT_A_TIME):
                rounds.create_task(self._walk(session))

    async def _walk(self, session: aiohttp.ClientSession) -> None:
        while True:
            due = await self._outbox.next_due()
            letter = self._outbox.letter(due)
            if letter is None:
                continue
            if await self._is_heard(session, letter):
                self._unheard_in_a_row = 0
                self._outbox.settle(due)
            else:
                self._unheard_in_a_row += 1
                self._outbox.try_later(due)
                # A shop that is down would otherwise cost a core as soon as a few thousand deliveries wait for it.
                await asyncio.sleep(min(PAUSE_PER_FAILURE * self._unheard_in_a_row, LONGEST_PAUSE))

    async def _is_heard(self, session: aiohttp.ClientSession, letter: Letter) -> bool:
        url, sealed = self._recipients[letter.sender]
        body = letter.body
        headers = {"Content-Type": "application/json; charset=utf-8", **sealed(body)}
        try:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.read()
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.debug("webhook not delivered: %s", type(error).__name__)
            return False


def of_stripe(url: str, secret: str) -> Recipient:
    def headers(body: bytes) -> Mapping[str, str]:
        signed = signature(body, secret.encode(), int(clock.now()))
        return {"Stripe-Signature": signed, "User-Agent": "Stripe/1.0 (sandbox)"}

    return Recipient(url, headers)


def of_easypost(url: str, secret: str) -> Recipient:
    def headers(body: bytes) -> Mapping[str, str]:
        return {"X-Hmac-Signature": carrier_signature(body, secret.encode()), "User-Agent": "EasyPost/2.0 (sandbox)"}

    return Recipient(url, headers)


def signature(body: bytes, secret: bytes, at: int) -> str:
    digest = hmac.digest(secret, b"%d." % at + body, "sha256").hex()
    return f"t={at},v1={digest}"


def carrier_signature(body: bytes, secret: bytes) -> str:
    return f"hmac-sha256-hex={hmac.digest(secret, body, 'sha256').hex()}"
