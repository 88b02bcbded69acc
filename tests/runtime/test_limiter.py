"""No more pass than the limit says, in any stretch of time and in all processes together."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deploy import embedded
from domain.limits import EXACT, Kind, Quota
from runtime.breaker import SILENCE, Breaker, WatchedRedis
from runtime.limiter import Lease, Limiter
from runtime.windows import Ask, Grant, OwnWindows, SharedWindows, Windows
from tests.support.waiting import eventually

moments = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 6)), max_size=60)


@given(moments)
@settings(max_examples=200, deadline=None)
def test_no_stretch_of_time_sees_more_than_the_quota(coming: list[tuple[int, int]]) -> None:
    quota = Quota(10, 1)
    now = 0
    windows = OwnWindows(lambda: now / 1000)
    passed: list[int] = []

    async def come() -> None:
        nonlocal now
        for pause, wanted in coming:
            now += pause
            [grant] = await windows.take([Ask("ann", quota, wanted)])
            passed.extend([now] * grant.granted)
            assert grant.granted + grant.remaining <= 10

    asyncio.run(come())

    for first, eleventh in zip(passed, itertools.islice(passed, 10, None), strict=False):
        assert eleventh - first >= 1000


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_who_waits_as_long_as_was_said_gets_in_again() -> None:
    clock, quota = Clock(), Quota(2, 60)
    windows = OwnWindows(clock)
    [first] = await windows.take([Ask("ann", quota, 1)])
    clock.now += 30
    [second, other] = await windows.take([Ask("ann", quota, 3), Ask("bob", quota, 1)])
    [third] = await windows.take([Ask("ann", quota, 1)])

    assert [grant.granted for grant in (first, second, other, third)] == [1, 1, 1, 0]
    clock.now += third.more_in - 0.001
    assert (await windows.take([Ask("ann", quota, 1)]))[0].granted == 0
    clock.now += 0.001
    assert (await windows.take([Ask("ann", quota, 2)]))[0].granted == 1


async def test_what_was_not_used_can_be_given_back() -> None:
    windows, quota = OwnWindows(Clock()), Quota(5, 60)
    [leased] = await windows.take([Ask("ann", quota, 5)])

    [again] = await windows.take([Ask("ann", quota, 5, returned_to=leased.step, returned=2)])

    assert (leased.granted, leased.remaining, again.granted, again.remaining) == (5, 0, 2, 0)


@pytest.fixture
async def valkey(stack: embedded.Running) -> AsyncIterator[Redis]:
    async with Redis(host="127.0.0.1", port=stack.valkey_port) as client:
        yield client


@pytest.fixture
def windows(valkey: Redis) -> SharedWindows:
    return SharedWindows(valkey, prefix=f"{uuid4().hex}:")


async def test_valkey_counts_by_the_same_rules(windows: SharedWindows) -> None:
    quota = Quota(5, 60)
    [first, other] = await windows.take([Ask("ann", quota, 3), Ask("bob", quota, 9)])
    [second] = await windows.take([Ask("ann", quota, 3)])
    [third] = await windows.take([Ask("ann", quota, 4, returned_to=second.step, returned=1)])

    assert [(grant.granted, grant.remaining) for grant in (first, other, second, third)] == [
        (3, 2),
        (5, 0),
        (2, 0),
        (1, 0),
    ]
    assert 0 < first.lasts <= 6
    assert 60 < first.more_in <= 66


async def test_a_window_of_valkey_opens_again_and_leaves_nothing_behind(valkey: Redis) -> None:
    prefix, quota = f"{uuid4().hex}:", Quota(2, 1)
    windows = SharedWindows(valkey, prefix=prefix)
    assert (await windows.take([Ask("ann", quota, 3)]))[0].granted == 2
    assert (await windows.take([Ask("ann", quota, 1)]))[0].granted == 0

    async def opens() -> bool:
        return (await windows.take([Ask("ann", quota, 2)]))[0].granted == 2

    await eventually(opens)

    async def is_gone() -> bool:
        return await valkey.keys(f"{prefix}*") == []

    await eventually(is_gone)


class Asked:
    """Counts the round trips."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self.times = 0

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        self.times += 1
        return await self._windows.take(asks)


def a_limiter(windows: Windows, quota: Quota) -> Limiter:
    limiter = Limiter({**EXACT, "address": quota})
    limiter.share(windows)
    return limiter


def leases(limiter: Limiter, address: str = "ann", user: str = "1") -> list[Lease]:
    limits = limiter.of[Kind.OTHERS]
    return [limits.everything.of(""), limits.address.of(address), limits.user.of(user)]


async def passing(limiter: Limiter, times: int, **whose: str) -> int:
    refused = await asyncio.gather(*(limiter.refusing(leases(limiter, **whose)) for _ in range(times)))
    return refused.count(None)


async def test_of_many_at_once_exactly_so_many_pass_in_all_processes_together(windows: SharedWindows) -> None:
    processes = [a_limiter(windows, Quota(40, 60)) for _ in range(3)]

    passed = [passing(limiter, 20, user=str(n)) for n, limiter in enumerate(processes)]

    assert sum(await asyncio.gather(*passed)) == 40


async def test_who_comes_at_once_shares_a_round_trip_and_who_is_refused_needs_none(windows: SharedWindows) -> None:
    asked = Asked(windows)
    limiter = a_limiter(asked, Quota(30, 60))

    assert await passing(limiter, 30) == 30
    assert asked.times == 1
    assert await passing(limiter, 30) == 0
    assert asked.times == 2
    assert await passing(limiter, 30) == 0
    assert asked.times == 2


async def test_for_much_use_a_process_asks_ahead_and_never_takes_more_than_the_limit(windows: SharedWindows) -> None:
    asked = [Asked(windows), Asked(windows)]
    processes = [a_limiter(counted, Quota(2000, 60)) for counted in asked]
    whose = itertools.cycle(str(user) for user in range(100))  # none of whom meets a limit of theirs

    passed = Counter[int]()
    for number in range(2100):
        refusing = await processes[number % 2].refusing(leases(processes[number % 2], user=next(whose)))
        passed[number % 2] += refusing is None

    assert 2000 - 2 * 20 <= passed.total() <= 2000
    assert sum(counted.times for counted in asked) < 2100


async def test_a_refusal_uses_nothing_of_the_other_limits(windows: SharedWindows) -> None:
    limiter = a_limiter(windows, Quota(60, 60))
    assert await passing(limiter, 55, user="busy") == 50

    assert await passing(limiter, 20, user="other") == 10


async def test_a_limit_that_is_changed_holds_at_once_and_for_what_has_passed(windows: SharedWindows) -> None:
    limiter = a_limiter(windows, Quota(5, 60))
    assert await passing(limiter, 6) == 5

    limiter.hold_to({**EXACT, "address": Quota(8, 60)})
    assert await passing(limiter, 6) == 3

    limiter.hold_to({**EXACT, "address": Quota(2, 60)})
    assert await passing(limiter, 1) == 0


async def test_a_kind_with_a_limit_of_its_own_is_counted_by_itself(windows: SharedWindows) -> None:
    limiter = a_limiter(windows, Quota(5, 60))
    limits = limiter.of[Kind.LOGIN]
    assert await passing(limiter, 6) == 5

    assert await limiter.refusing([limits.everything.of(""), limits.address.of("ann")]) is None


async def test_without_valkey_a_process_counts_alone() -> None:
    breaker = Breaker("valkey", silence=SILENCE, failures=1, cool_down=60)
    async with WatchedRedis.behind(breaker, "redis://127.0.0.1:1", retry=Retry(NoBackoff(), 0)) as nobody:
        limiter = a_limiter(SharedWindows(nobody, prefix="alone:"), Quota(7, 60))

        assert await passing(limiter, 20) == 7
        assert await passing(limiter, 20, address="bob", user="2") == 7
