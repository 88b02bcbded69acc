"""The two layers of the cache, each on its own; Valkey is a real one."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.cache.memory import Flights, Memory
from runtime.cache.shared import JITTER, SharedCache
from runtime.resources import Resources
from tests.support.processes import free_port


class Thing:
    def __init__(self, weight: int) -> None:
        self.weight = weight


def test_memory_forgets_what_was_used_longest_ago() -> None:
    memory: Memory[str, Thing] = Memory(10)
    for name in "abc":
        memory.put(name, Thing(3))
    memory.get("a")
    memory.put("d", Thing(3))

    assert memory.get("b") is None
    assert [name for name in "abcd" if memory.get(name)] == ["a", "c", "d"]
    assert (len(memory), memory.weight) == (3, 9)


def test_memory_counts_a_replaced_entry_once_and_keeps_nothing_that_is_larger_than_all() -> None:
    memory: Memory[str, Thing] = Memory(10)
    memory.put("a", Thing(3))
    memory.put("a", Thing(4))
    assert memory.weight == 4

    memory.put("b", Thing(11))
    assert (len(memory), memory.weight) == (0, 0)


async def test_a_hundred_who_ask_at_once_are_answered_by_one_fetch() -> None:
    flights: Flights[str, int] = Flights()
    fetched = 0
    is_over = asyncio.Event()

    async def fetch() -> int:
        nonlocal fetched
        fetched += 1
        await is_over.wait()
        return fetched

    asking = [asyncio.create_task(flights.join("a", fetch)) for _ in range(100)]
    await asyncio.sleep(0)
    is_over.set()

    assert await asyncio.gather(*asking) == [1] * 100
    assert await flights.join("a", fetch) == 2


async def test_who_gives_up_waiting_does_not_stop_the_others() -> None:
    flights: Flights[str, str] = Flights()
    is_over = asyncio.Event()

    async def fetch() -> str:
        await is_over.wait()
        return "fetched"

    first, second = (asyncio.create_task(flights.join("a", fetch)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    is_over.set()

    assert await second == "fetched"


async def test_who_asks_after_a_change_does_not_join_a_fetch_from_before() -> None:
    flights: Flights[str, str] = Flights()
    before, after = asyncio.Event(), asyncio.Event()

    async def fetch(gate: asyncio.Event, answer: str) -> str:
        await gate.wait()
        return answer

    old = asyncio.create_task(flights.join("a", lambda: fetch(before, "old")))
    await asyncio.sleep(0)
    flights.part_with("a")
    new = asyncio.create_task(flights.join("a", lambda: fetch(after, "new")))
    await asyncio.sleep(0)
    after.set()
    before.set()

    assert (await old, await new) == ("old", "new")


@pytest.fixture
async def prefix(resources: Resources) -> AsyncIterator[str]:
    name = f"test-{uuid4().hex}:"
    yield name
    async for key in resources.redis.scan_iter(f"{name}*"):
        await resources.redis.delete(key)


def cache(resources: Resources, prefix: str) -> SharedCache:
    return SharedCache(resources.redis, prefix=prefix, seconds=3600)


async def in_one_epoch(*caches: SharedCache) -> None:
    """Each begins an epoch of its own when it starts; the last one is everybody's."""
    for _ in range(2):
        for each in caches:
            await each.get(["nothing"], "USD")


async def test_what_one_process_filled_another_finds(resources: Resources, prefix: str) -> None:
    ours, theirs = cache(resources, prefix), cache(resources, prefix)
    await in_one_epoch(ours, theirs)

    _, leases = await ours.get(["a", "b"], "USD")
    await ours.fill("USD", {"a": b"apple"}, leases)

    found, _ = await theirs.get(["a", "b"], "USD")
    assert found == {"a": b"apple"}
    assert (await theirs.get(["a"], "EUR"))[0] == {}


async def test_what_was_read_before_a_change_is_not_kept_after_it(resources: Resources, prefix: str) -> None:
    """A reads, B changes and forgets, A writes: the interleaving that leaves stale values in most caches."""
    ours, theirs = cache(resources, prefix), cache(resources, prefix)
    await in_one_epoch(ours, theirs)

    _, leases = await ours.get(["a"], "USD")
    await theirs.forget(["a"])
    await ours.fill("USD", {"a": b"stale"}, leases)

    assert (await theirs.get(["a"], "USD"))[0] == {}


async def test_the_slower_of_two_readers_keeps_nothing(resources: Resources, prefix: str) -> None:
    ours, theirs = cache(resources, prefix), cache(resources, prefix)
    await in_one_epoch(ours, theirs)

    _, older = await ours.get(["a"], "USD")
    _, newer = await theirs.get(["a"], "USD")
    await theirs.fill("USD", {"a": b"newer"}, newer)
    await ours.fill("USD", {"a": b"older"}, older)

    assert (await ours.get(["a"], "USD"))[0] == {"a": b"newer"}


async def test_nothing_is_read_while_it_is_being_forgotten(resources: Resources, prefix: str) -> None:
    ours = cache(resources, prefix)
    _, leases = await ours.get(["a"], "USD")
    await ours.fill("USD", {"a": b"stale"}, leases)

    forgetting = asyncio.ensure_future(ours.forget(["a"]))
    await asyncio.sleep(0)
    assert await ours.get(["a"], "USD") == ({}, {})
    await forgetting

    assert (await ours.get(["a"], "USD"))[0] == {}


async def test_a_doubtful_cache_begins_a_new_epoch_for_everybody(resources: Resources, prefix: str) -> None:
    ours, theirs = cache(resources, prefix), cache(resources, prefix)
    await in_one_epoch(ours, theirs)
    _, leases = await ours.get(["a"], "USD")
    await ours.fill("USD", {"a": b"perhaps stale"}, leases)

    ours.doubt()

    assert (await ours.get(["a"], "USD"))[0] == {}
    assert (await theirs.get(["a"], "USD"))[0] == {}


async def test_who_has_not_heard_of_a_new_epoch_forgets_what_is_read_in_it(resources: Resources, prefix: str) -> None:
    ours, theirs = cache(resources, prefix), cache(resources, prefix)
    await ours.get(["a"], "USD")
    _, leases = await theirs.get(["a", "b"], "USD")  # which begins an epoch
    await theirs.fill("USD", {"a": b"stale"}, leases)

    await ours.forget(["a", "b"])

    assert (await theirs.get(["a"], "USD"))[0] == {}
    await theirs.fill("USD", {"b": b"read before"}, leases)
    assert (await theirs.get(["b"], "USD"))[0] == {}


async def test_entries_that_are_written_together_do_not_expire_together(resources: Resources, prefix: str) -> None:
    ours = cache(resources, prefix)
    names = [f"n{number}" for number in range(1000)]
    _, leases = await ours.get(names, "USD")
    await ours.fill("USD", dict.fromkeys(names, b"x"), leases)

    lives = [await resources.redis.pttl(key) async for key in resources.redis.scan_iter(f"{prefix}*:n*")]

    assert len(lives) == 1000
    assert max(lives) <= 3_600_000
    assert max(lives) - min(lives) > 3_600_000 * JITTER / 2
    fullest = max(sum(1 for life in lives if life // 1000 == second) for second in {life // 1000 for life in lives})
    assert fullest < 50


@pytest.mark.matrix("checkout: Valkey is away")
async def test_without_valkey_there_is_nothing_to_find_and_nothing_fails() -> None:
    nowhere = Redis.from_url(f"redis://127.0.0.1:{free_port()}", retry=Retry(NoBackoff(), 0))
    ours = SharedCache(nowhere, prefix="nowhere:", seconds=60)

    assert await ours.get(["a"], "USD") == ({}, {})
    await ours.fill("USD", {"a": b"x"}, {"a": "lease"})
    await ours.forget(["a"])
    await nowhere.aclose()
