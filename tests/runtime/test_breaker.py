"""A server that does not answer is asked by one request at a time, and all others go on without it at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.request import urlopen
from uuid import uuid4

import httpx
import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as CannotConnect
from redis.exceptions import RedisError, ResponseError
from stripe import AuthenticationError

from domain.payments import LookUpPayment
from providers.payments import PROVIDER_SILENCE, OutcomeUnknown, open_provider
from runtime.breaker import BREAKERS, SILENCE, Breaker, State, WatchedRedis
from runtime.resources import Resources
from runtime.settings import Settings
from tests.support.gate import Gate
from tests.support.processes import answers, free_port, process
from tests.support.waiting import eventually
from workflows.names import Queue


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
        Breaker("valkey", silence=SILENCE, failures=failures, cool_down=cool_down),
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


# --- the payment provider -------------------------------------------------------------------------------------------


def told(dependency: str) -> dict[str, float]:
    """What the metrics say of its breaker."""
    return {
        sample.labels["state"]: sample.value
        for metric in BREAKERS.collect()
        for sample in metric.samples
        if sample.labels["dependency"] == dependency
    }


async def test_a_silent_payment_provider_is_left_alone_and_that_stays_an_unknown_outcome(silent: Silent) -> None:
    dependency = f"provider-{silent.port}"
    breaker = Breaker(dependency, silence=PROVIDER_SILENCE, failures=2, cool_down=3600)
    async with open_provider(
        "stripe",
        api_base=f"http://127.0.0.1:{silent.port}",
        api_key="sk_test_sutler",
        webhook_secret="whsec_sutler",
        return_url="http://127.0.0.1:1",
        timeout_seconds=0.2,
        guard=breaker.watched,
    ) as provider:
        assert told(dependency) == {"closed": 1.0, "open": 0.0, "half_open": 0.0}
        for _ in range(5):
            with pytest.raises(OutcomeUnknown):
                await provider.look_up(LookUpPayment(payment_id=uuid4()))

    assert silent.asked == 2
    assert told(dependency) == {"closed": 0.0, "open": 1.0, "half_open": 0.0}


async def test_a_provider_that_answers_with_errors_is_asked_on(sandbox: httpx.AsyncClient, settings: Settings) -> None:
    """Errors that are answered cost no time, and the engine asks again more and more slowly."""
    breaker = Breaker("answering", silence=PROVIDER_SILENCE, failures=1, cool_down=3600)
    async with open_provider(
        "stripe",
        api_base=settings.payments.stripe_api_base,
        api_key="a wrong key",
        webhook_secret="whsec_sutler",
        return_url="http://127.0.0.1:1",
        timeout_seconds=5,
        guard=breaker.watched,
    ) as provider:
        for _ in range(2):
            with pytest.raises(AuthenticationError):
                await provider.look_up(LookUpPayment(payment_id=uuid4()))

    assert breaker.state is State.CLOSED


def test_a_worker_tells_the_states_of_its_breakers(environment: dict[str, str], log_file: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/metrics"
    own = {**environment, "APP_WORKERS__METRICS_PORT": str(port)}
    with process("cli", "worker", Queue.CATALOG, environment=own, ready=answers(address), log=log_file):
        said = urlopen(address).read().decode()

    assert 'sutler_circuit_breaker_state{dependency="payments",state="closed"} 1.0' in said
    assert 'sutler_circuit_breaker_state{dependency="valkey",state="open"} 0.0' in said
