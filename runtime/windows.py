"""Where it is counted how often was asked: in Valkey, for all processes together, or in this process alone.

A window slides in steps of a tenth of its length. What was granted in a step counts until ten whole steps have passed
since, so no stretch of time that is as long as the window ever sees more than its quota.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis

from domain.limits import Quota

STEPS = 10

TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local steps, answers = tonumber(ARGV[1]), {}
for i, key in ipairs(KEYS) do
    local at = (i - 1) * 5 + 1
    local amount, length, wanted = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local returned_to, returned = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
    local step = math.floor(now / length)
    local used, oldest = 0, step
    local counts = redis.call('HGETALL', key)
    for f = 1, #counts, 2 do
        local counted, count = tonumber(counts[f]), tonumber(counts[f + 1])
        if counted == returned_to and returned > 0 then
            count = count - returned
            redis.call('HSET', key, counts[f], count)
        end
        if counted < step - steps then
            redis.call('HDEL', key, counts[f])
        elseif count > 0 then
            used, oldest = used + count, math.min(oldest, counted)
        end
    end
    local granted = math.max(0, math.min(wanted, amount - used))
    if granted > 0 then
        redis.call('HINCRBY', key, string.format('%.0f', step), granted)
        redis.call('PEXPIRE', key, length * (steps + 1))
    end
    answers[i] = {
        granted, math.max(0, amount - used - granted), step,
        (step + 1) * length - now, (oldest + steps + 1) * length - now
    }
end
return answers
"""


@dataclass(frozen=True, slots=True)
class Ask:
    key: str
    quota: Quota
    wanted: int
    returned_to: int = 0
    returned: int = 0
    """What was granted in that step and not used."""


@dataclass(frozen=True, slots=True)
class Grant:
    granted: int
    remaining: int
    """What nobody has been granted yet."""
    step: int
    lasts: float
    """Seconds until the step ends, and with it what was granted and not used."""
    more_in: float
    """Seconds until more can be granted than now."""


class Windows(Protocol):
    async def take(self, asks: Sequence[Ask]) -> list[Grant]: ...


class SharedWindows:
    """One round trip for any number of windows; raises ``RedisError`` when Valkey does not answer."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._prefix = f"{prefix}limits:"
        self._take = redis.register_script(TAKE)

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        args: list[int] = [STEPS]
        for ask in asks:
            args += [ask.quota.amount, _step_length(ask.quota), ask.wanted, ask.returned_to, ask.returned]
        answers = await self._take(keys=[f"{self._prefix}{ask.key}:{ask.quota.seconds}" for ask in asks], args=args)
        return [
            Grant(granted, remaining, step, lasts / 1000, more_in / 1000)
            for granted, remaining, step, lasts, more_in in answers
        ]


class OwnWindows:
    """The same rules for one process."""

    MOST = 100_000
    """So many windows are known at a time; then those that are over make room."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, int], dict[int, int]] = {}

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        return [self._granted(ask, math.floor(self._clock() * 1000)) for ask in asks]

    def _granted(self, ask: Ask, now: int) -> Grant:
        length = _step_length(ask.quota)
        step = now // length
        counts = self._counts_of(ask, step)
        if ask.returned_to in counts:
            counts[ask.returned_to] -= ask.returned
        used = sum(counts.values())
        granted = max(0, min(ask.wanted, ask.quota.amount - used))
        oldest = min((counted for counted, count in counts.items() if count > 0), default=step)
        if granted > 0:
            counts[step] = counts.get(step, 0) + granted
        return Grant(
            granted=granted,
            remaining=max(0, ask.quota.amount - used - granted),
            step=step,
            lasts=((step + 1) * length - now) / 1000,
            more_in=((oldest + STEPS + 1) * length - now) / 1000,
        )

    def _counts_of(self, ask: Ask, step: int) -> dict[int, int]:
        key = (ask.key, ask.quota.seconds)
        if len(self._counts) >= self.MOST and key not in self._counts:
            self._counts.clear()
        counts = {counted: n for counted, n in self._counts.get(key, {}).items() if counted >= step - STEPS}
        self._counts[key] = counts
        return counts


def _step_length(quota: Quota) -> int:
    return quota.seconds * 1000 // STEPS
