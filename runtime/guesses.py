"""Wrong passwords: after some of them each next try has to wait, twice as long as the one before.

A device that an account has signed in from carries a signed cookie that says so. Its tries are counted for that device
alone, so nobody who guesses from elsewhere keeps the right person out. All other tries are counted for the account and
for the address that they come from, whether there is such an account or not.
"""

import hashlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.errors import Refusal
from runtime.tokens import Tokens

log = structlog.get_logger()

FORGOTTEN_AFTER_SECONDS = 24 * 3600

BEGIN = """
local time = redis.call('TIME')
local now, wait = time[1] * 1000 + math.floor(time[2] / 1000), 0
for _, key in ipairs(KEYS) do
    local ends = tonumber(redis.call('HGET', key, 'ends') or 0)
    wait = math.max(wait, ends - now)
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
    local over = redis.call('HINCRBY', key, 'wrong', 1) - tonumber(ARGV[i + 2])
    if over >= 0 then
        local delay = math.min(tonumber(ARGV[1]), 1000 * 2 ^ math.min(over, 20))
        redis.call('HSET', key, 'ends', string.format('%.0f', now + delay))
    end
    redis.call('EXPIRE', key, ARGV[2])
end
return 0
"""
"""Each try counts as wrong until it turns out right: of a thousand at once no more get through than of one by one."""


@dataclass(frozen=True, slots=True)
class Counter:
    key: str
    free: int
    """So many wrong passwords cost nothing."""


class Counts(Protocol):
    async def begin(self, counters: Sequence[Counter]) -> float:
        """Count a try; if one of them has to wait, count nothing and say for how many seconds."""

    async def forget(self, key: str) -> None: ...

    async def take_back(self, key: str) -> None:
        """One try less, and nobody waits for it."""


class SharedCounts:
    """In Valkey; raises ``RedisError`` when that does not answer."""

    def __init__(self, redis: Redis, *, prefix: str, longest_delay: int) -> None:
        self._redis = redis
        self._prefix = f"{prefix}guesses:"
        self._longest_delay = longest_delay
        self._begin = redis.register_script(BEGIN)

    async def begin(self, counters: Sequence[Counter]) -> float:
        wait = await self._begin(
            keys=[self._prefix + counter.key for counter in counters],
            args=[self._longest_delay * 1000, FORGOTTEN_AFTER_SECONDS, *(counter.free for counter in counters)],
        )
        return int(wait) / 1000

    async def forget(self, key: str) -> None:
        await self._redis.delete(self._prefix + key)

    async def take_back(self, key: str) -> None:
        pipeline = self._redis.pipeline()
        pipeline.hincrby(self._prefix + key, "wrong", -1)
        pipeline.hdel(self._prefix + key, "ends")
        pipeline.expire(self._prefix + key, FORGOTTEN_AFTER_SECONDS)
        await pipeline.execute()


@dataclass(slots=True)
class _Count:
    wrong: int = 0
    ends: float = 0.0


class OwnCounts:
    """The same in the memory of this process, while Valkey is away."""

    MOST = 100_000

    def __init__(self, *, longest_delay: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest_delay = longest_delay
        self._clock = clock
        self._counts: dict[str, _Count] = {}

    async def begin(self, counters: Sequence[Counter]) -> float:
        if len(self._counts) > self.MOST:
            self._counts.clear()
        now = self._clock()
        counts = [self._counts.setdefault(counter.key, _Count()) for counter in counters]
        wait = max(count.ends - now for count in counts)
        if wait > 0:
            return wait
        for count, counter in zip(counts, counters, strict=True):
            count.wrong += 1
            over = count.wrong - counter.free
            if over >= 0:
                count.ends = now + min(self._longest_delay, 2 ** min(over, 20))
        return 0.0

    async def forget(self, key: str) -> None:
        self._counts.pop(key, None)

    async def take_back(self, key: str) -> None:
        if count := self._counts.get(key):
            count.wrong -= 1
            count.ends = 0.0


@dataclass(frozen=True, slots=True)
class Guess:
    """A try that may be made now."""

    account: str
    address: str
    device: str | None


class Guesses:
    def __init__(self, shared: Counts, own: Counts, *, tokens: Tokens, free: int, free_for_address: int) -> None:
        self._shared = shared
        self._own = own
        self._tokens = tokens
        self._free = free
        self._free_for_address = free_for_address

    async def begin(self, email: str, address: str, device_cookie: str | None) -> Guess:
        """Before the password is looked at; refuses ``rate_limited`` when it has to wait."""
        account = _name_of(email)
        device = self._tokens.read_device(device_cookie, account) if device_cookie else None
        guess = Guess(account, address, device)
        await self._count(guess)
        return guess

    @asynccontextmanager
    async def of_session(self, session_id: UUID) -> AsyncIterator[None]:
        """Around what somebody who is signed in shows to prove that it is them; what is refused inside was wrong.

        Counted for the session alone: who found it open does not guess its password, nor keep anybody from signing in.
        """
        guess = Guess("", "", f"session-{session_id}")
        await self._count(guess)
        yield
        await self.right(guess)

    async def _count(self, guess: Guess) -> None:
        try:
            wait = await self._shared.begin(self._counters(guess))
        except RedisError as error:
            log.warning("guesses_counted_alone", error=type(error).__name__)
            wait = await self._own.begin(self._counters(guess))
        if wait > 0:
            raise Refusal(
                "rate_limited",
                "There were too many wrong passwords; this one was not looked at.",
                retry_after=math.ceil(wait),
            )

    async def right(self, guess: Guess) -> None:
        """The password was right."""
        if (device := guess.device) is not None:
            await self._tell(lambda counts: counts.forget(_of_device(device)))
            return
        await self._tell(lambda counts: counts.forget(_of_account(guess.account)))
        # Only this try: who guesses others' passwords must not begin anew by signing in to an own account.
        await self._tell(lambda counts: counts.take_back(_of_address(guess.address)))

    async def forgive(self, email: str) -> None:
        """Whoever reads the account's mail need not wait for what others have guessed."""
        await self._tell(lambda counts: counts.forget(_of_account(_name_of(email))))

    async def _tell(self, what: Callable[[Counts], Awaitable[None]]) -> None:
        """Both, for some tries may have been counted by this process alone."""
        await what(self._own)
        try:
            await what(self._shared)
        except RedisError as error:
            log.warning("guesses_not_forgotten", error=type(error).__name__)

    def device_cookie(self, guess: Guess) -> str:
        """What the device shows from now on when this account signs in from it."""
        return self._tokens.device(guess.account, guess.device)

    def _counters(self, guess: Guess) -> list[Counter]:
        if guess.device is not None:
            return [Counter(_of_device(guess.device), self._free)]
        return [
            Counter(_of_account(guess.account), self._free),
            Counter(_of_address(guess.address), self._free_for_address),
        ]


def _name_of(email: str) -> str:
    """Addresses of people stay out of Valkey and of cookies."""
    return hashlib.sha256(email.strip().casefold().encode()).hexdigest()[:32]


def _of_device(device: str) -> str:
    return f"device:{device}"


def _of_account(account: str) -> str:
    return f"account:{account}"


def _of_address(address: str) -> str:
    return f"address:{address}"
