"""A Valkey that does not answer is asked by one request at a time, and all others go on without it at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as CannotConnect
from redis.exceptions import RedisError, ResponseError

from runtime.breaker import Breaker, State, WatchedRedis
from runtime.resources import Resources
from tests.support.gate import Gate
from tests.support.processes import free_port
from tests.support.waiting import eventually


class Silent:
    """A server that takes connections and says nothing."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._ignore, "127.0.0.1", self.port)

    async def close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _ignore(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        self._writers.append(writer)


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    server = Silent(free_port())
    await server.open()
    yield server
    await server.close()


def watched(port: int, *, failures: int = 3, cool_down: float = 3600) -> WatchedRedis:
    return WatchedRedis.behind(
        Breaker(failures=failures, cool_down=cool_down),
        f"redis://127.0.0.1:{port}/0",
        socket_timeout=0.2,
        retry=Retry(NoBackoff(), 0),
    )


def state_of(redis: WatchedRedis) -> State:
    return redis.breaker.state


async def is_answered(redis: WatchedRedis) -> bool:
    try:
        return bool(await redis.ping())
    except RedisError:
        return False


async def test_after_some_silence_a_server_is_not_asked_any_more(silent: Silent) -> None:
    redis = watched(silent.port)
    assert [await is_answered(redis) for _ in range(3)] == [False, False, False]
    assert (silent.asked, state_of(redis)) == (3, State.OPEN)

    for _ in range(20):
        with pytest.raises(CannotConnect):
            await redis.get("a")
        pipeline = redis.pipeline()
        pipeline.get("a")
        with pytest.raises(CannotConnect):
            await pipeline.execute()

    assert silent.asked == 3
    await redis.aclose()


async def test_after_the_cool_down_one_tries_and_the_others_go_on_without_it(silent: Silent) -> None:
    redis = watched(silent.port, failures=1, cool_down=0)
    await is_answered(redis)
    trying = asyncio.create_task(is_answered(redis))
    await asyncio.sleep(0)

    assert state_of(redis) is State.HALF_OPEN
    assert await asyncio.gather(*(is_answered(redis) for _ in range(20))) == [False] * 20
    assert not await trying

    assert (silent.asked, state_of(redis)) == (2, State.OPEN)
    await redis.aclose()


async def test_one_that_gives_up_trying_leaves_it_to_the_next(silent: Silent) -> None:
    redis = watched(silent.port, failures=1, cool_down=0)
    await is_answered(redis)
    trying = asyncio.create_task(is_answered(redis))
    await asyncio.sleep(0)
    trying.cancel()
    await asyncio.gather(trying, return_exceptions=True)

    assert state_of(redis) is State.OPEN
    await redis.aclose()


async def test_once_the_server_answers_everybody_asks_it_again(resources: Resources) -> None:
    valkey = resources.redis.connection_pool.connection_kwargs
    way = Gate(free_port(), valkey["host"], valkey["port"])
    redis = watched(way.port, failures=2, cool_down=0.1)
    assert [await is_answered(redis) for _ in range(2)] == [False, False]
    assert state_of(redis) is State.OPEN

    await way.open()

    assert await eventually(lambda: is_answered(redis))
    assert state_of(redis) is State.CLOSED
    pipeline = redis.pipeline()
    pipeline.ping()
    assert await pipeline.execute() == [True]
    await redis.aclose()
    await way.close()


async def test_an_answer_is_an_answer_whatever_it_says(resources: Resources) -> None:
    valkey = resources.redis.connection_pool.connection_kwargs
    redis = watched(valkey["port"], failures=1)

    with pytest.raises(ResponseError):
        await redis.execute_command("NO SUCH COMMAND")

    assert state_of(redis) is State.CLOSED
    await redis.aclose()
