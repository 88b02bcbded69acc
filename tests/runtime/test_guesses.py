"""Who guesses passwords waits longer and longer; who knows theirs is not kept out by that."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from deploy import embedded
from domain.errors import Refusal
from runtime.breaker import SILENCE, Breaker, WatchedRedis
from runtime.guesses import Counter, Counts, Guesses, OwnCounts, SharedCounts
from runtime.resources import Resources


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def guesses_of(counts: Counts, resources: Resources) -> Guesses:
    return Guesses(counts, OwnCounts(longest_delay=900), tokens=resources.tokens, free=3, free_for_address=5)


@pytest.fixture
def guesses(clock: Clock, resources: Resources) -> Guesses:
    return guesses_of(OwnCounts(longest_delay=900, clock=clock), resources)


async def wait_of(
    guesses: Guesses, email: str = "ada@example.com", address: str = "1", cookie: str | None = None
) -> int:
    try:
        await guesses.begin(email, address, cookie)
    except Refusal as refusal:
        return int(refusal.facts["retry_after"])
    return 0


async def test_each_wrong_password_doubles_the_wait_up_to_a_quarter_of_an_hour(guesses: Guesses, clock: Clock) -> None:
    for attempt in range(2):
        assert await wait_of(guesses, address=str(attempt)) == 0
    waits = []
    for attempt in range(12):
        assert await wait_of(guesses, address=f"other {attempt}") == 0
        waits.append(await wait_of(guesses, address="one more"))
        clock.now += waits[-1]

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


async def test_for_one_address_all_accounts_count_together(guesses: Guesses) -> None:
    for attempt in range(5):
        assert await wait_of(guesses, f"{attempt}@example.com") == 0

    assert await wait_of(guesses, "another@example.com") == 1
    assert await wait_of(guesses, "another@example.com", address="2") == 0


async def test_a_right_password_forgets_the_wrong_ones_of_its_account_and_one_try_of_its_address(
    guesses: Guesses,
) -> None:
    for _ in range(2):
        await wait_of(guesses)
    await guesses.right(await guesses.begin("Ada@Example.com ", "1", None))

    assert [await wait_of(guesses) for _ in range(3)] == [0, 0, 0]
    assert await wait_of(guesses, "bob@example.com") == 1


async def test_a_known_device_waits_only_for_what_was_tried_from_it(guesses: Guesses) -> None:
    guess = await guesses.begin("ada@example.com", "home", None)
    await guesses.right(guess)
    cookie = guesses.device_cookie(guess)
    for _ in range(4):
        await wait_of(guesses, address="elsewhere")
    assert await wait_of(guesses) > 0

    known = await guesses.begin("ada@example.com", "elsewhere", cookie)
    await guesses.right(known)
    again = guesses.device_cookie(known)

    assert [await wait_of(guesses, cookie=again) for _ in range(4)] == [0, 0, 0, 1]
    assert await wait_of(guesses, cookie=cookie) == 1, "it is still the same device"


async def test_a_device_of_one_account_is_nothing_to_another(guesses: Guesses) -> None:
    cookie = guesses.device_cookie(await guesses.begin("bob@example.com", "1", None))
    for _ in range(3):
        await wait_of(guesses)

    assert await wait_of(guesses, cookie=cookie) == 1
    assert await wait_of(guesses, cookie="forged") == 1


@pytest.fixture
async def shared(stack: embedded.Running) -> AsyncIterator[SharedCounts]:
    async with Redis(host="127.0.0.1", port=stack.valkey_port) as client:
        yield SharedCounts(client, prefix=f"{uuid4().hex}:", longest_delay=900)


async def test_valkey_counts_by_the_same_rules(shared: SharedCounts) -> None:
    ann, home = Counter("ann", 3), Counter("home", 5)
    assert [await shared.begin([ann, home]) for _ in range(3)] == [0, 0, 0]

    assert 0 < await shared.begin([ann, home]) <= 1
    assert [await shared.begin([home]) for _ in range(2)] == [0, 0]
    assert 0 < await shared.begin([Counter("bob", 3), home]) <= 1

    await shared.take_back("home")
    await shared.forget("ann")
    assert await shared.begin([ann, home]) == 0
    assert 0 < await shared.begin([home]) <= 1


async def test_of_many_tries_at_once_no_more_are_looked_at_than_of_one_after_the_other(
    shared: SharedCounts, resources: Resources
) -> None:
    guesses = guesses_of(shared, resources)

    waits = await asyncio.gather(*(wait_of(guesses, address=str(n)) for n in range(30)))

    assert waits.count(0) == 3


async def test_without_valkey_a_process_counts_alone(resources: Resources) -> None:
    breaker = Breaker("valkey", silence=SILENCE, failures=1, cool_down=60)
    async with WatchedRedis.behind(breaker, "redis://127.0.0.1:1", retry=Retry(NoBackoff(), 0)) as nobody:
        guesses = guesses_of(SharedCounts(nobody, prefix="alone:", longest_delay=900), resources)

        assert [await wait_of(guesses) for _ in range(4)] == [0, 0, 0, 1]
        await guesses.right(await guesses.begin("bob@example.com", "2", None))
