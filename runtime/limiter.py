"""Who may ask now: a look into this process's memory while that knows, and one question for all who wait otherwise.

What a process was granted and has not used is a lease: it can be used until the step in which it was granted ends. For
a limit under much use a process leases more than it needs at the moment, a hundredth of the limit at most, and gives
back what is left. So the processes together never let more pass than the limit says.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from domain.limits import EXACT, Kind, Quota, Together
from runtime.windows import Ask, Grant, OwnWindows, Windows

log = structlog.get_logger()

AHEAD = 100
"""At most this part of a limit is leased for requests that have not come yet."""
REFUSES_SECONDS = 1.0
"""How long a refusal is believed: others may give back what they did not use."""
ON_THE_WAY_SECONDS = 0.02
"""So long an answer can be used, even if the step of its grant ended while it was on its way."""
MOST_LEASES = 50_000


class Lease:
    """What this process may let pass of one limit, for one address or user."""

    __slots__ = (
        "_asked_at",
        "_batch",
        "_granted",
        "_step",
        "ends_at",
        "key",
        "left",
        "limit",
        "more_at",
        "refuses_until",
        "rest",
    )

    def __init__(self, limit: "Limit", key: str) -> None:
        self.limit = limit
        self.key = key
        self.left = 0
        self.ends_at = 0.0
        self.refuses_until = 0.0
        self.more_at = 0.0
        self.rest = 0
        self._asked_at = 0.0
        self._step = 0
        self._granted = 0
        self._batch = 0

    @property
    def remaining(self) -> int:
        """What can still pass, as far as this process knows."""
        return self.rest + self.left

    def ask(self, waiting: int, now: float) -> Ask:
        """For those who wait and, under much use, for as many again; what is left of an ended step goes back."""
        returned = self.left if now >= self.ends_at else 0
        if now >= self.ends_at:
            self._batch, self._granted = self._granted - returned, 0
        self.left -= returned
        ahead = min(self.limit.quota.amount // AHEAD, max(self._batch, self._granted))
        return Ask(self.key, self.limit.quota, max(waiting, ahead), self._step, returned)

    def receive(self, grant: Grant, waiting: int, asked_at: float) -> None:
        if grant.step != self._step:
            if asked_at < self._asked_at:
                return  # overtaken by the answer of a later step
            self.left, self._step, self._granted = 0, grant.step, 0
        self._asked_at = asked_at
        self.left += grant.granted
        self._granted += grant.granted
        now = time.monotonic()
        self.ends_at = max(asked_at + grant.lasts, now + ON_THE_WAY_SECONDS)
        self.rest, self.more_at = grant.remaining, asked_at + grant.more_in
        self.refuses_until = now + min(grant.more_in, REFUSES_SECONDS) if grant.granted < waiting else 0.0


class Limit:
    """One limit and all who were met under it."""

    def __init__(self, name: str, quota: Quota) -> None:
        self.name = name
        self.quota = quota
        self._leases: dict[str, Lease] = {}

    def of(self, whose: str) -> Lease:
        lease = self._leases.get(whose)
        if lease is None:
            if len(self._leases) >= MOST_LEASES:
                self._leases.clear()
            lease = self._leases[whose] = Lease(self, f"{self.name}:{whose}")
        return lease


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one kind of request."""

    everything: Limit
    address: Limit
    user: Limit


class _Question:
    """What is asked in one round trip, and who waits for its answer."""

    def __init__(self) -> None:
        self.waiting = Counter[Lease]()
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Limiter:
    """Counts in this process alone until it is told of windows that all share, and whenever those do not answer."""

    def __init__(self, quotas: Mapping[str, Quota] = EXACT) -> None:
        self._shared: Windows | None = None
        self._own = OwnWindows()
        self._question: _Question | None = None
        self._asking: set[asyncio.Task[None]] = set()
        self._limits: dict[str, Limit] = {}
        self.of: dict[Kind, Limits] = {}
        self.hold_to(quotas)

    def share(self, windows: Windows) -> None:
        self._shared = windows

    @property
    def quotas(self) -> dict[str, Quota]:
        return {name: limit.quota for name, limit in self._limits.items()}

    def hold_to(self, quotas: Mapping[str, Quota]) -> None:
        """These hold from now on; limits that stay as they are know what they knew."""
        known = self._limits
        self._limits = {
            name: known[name] if name in known and known[name].quota == quota else Limit(name, quota)
            for name, quota in quotas.items()
        }
        self.of = {
            kind: Limits(*(self._limits.get(f"{together}.{kind}") or self._limits[together] for together in Together))
            for kind in Kind
        }

    @staticmethod
    def passes(leases: Sequence[Lease]) -> bool:
        """Let one request pass under all of these limits, if this process may by itself; otherwise nothing is used."""
        now = time.monotonic()
        for lease in leases:
            if lease.left <= 0 or now >= lease.ends_at:
                return False
        for lease in leases:
            lease.left -= 1
        return True

    async def refusing(self, leases: Sequence[Lease]) -> Lease | None:
        """Let one request pass under all of these limits, or say which one refuses it; then nothing is used."""
        while not self.passes(leases):
            now = time.monotonic()
            lacking = [lease for lease in leases if lease.left <= 0 or now >= lease.ends_at]
            for lease in lacking:
                if now < lease.refuses_until:
                    return lease
            await self._asked(lacking)
        return None

    async def _asked(self, lacking: Sequence[Lease]) -> None:
        """All who come while the loop gets round to it ask together."""
        question = self._question
        if question is None:
            question = self._question = _Question()
            task = asyncio.create_task(self._ask(question))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        question.waiting.update(lacking)
        await asyncio.shield(question.answered)

    async def _ask(self, question: _Question) -> None:
        self._question = None
        now = time.monotonic()
        asks = [lease.ask(waiting, now) for lease, waiting in question.waiting.items()]
        for (lease, waiting), grant in zip(question.waiting.items(), await self._granted(asks), strict=True):
            lease.receive(grant, waiting, now)
        question.answered.set_result(None)

    async def _granted(self, asks: Sequence[Ask]) -> list[Grant]:
        if self._shared is not None:
            try:
                return await self._shared.take(asks)
            except RedisError as error:
                log.warning("limits_counted_alone", error=type(error).__name__)
        return await self._own.take(asks)
