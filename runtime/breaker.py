"""A server that does not answer is left alone for a moment, so that not every request waits to find out.

Only where a request would otherwise wait for a timeout, and knows what to do instead.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from typing import Any, cast

import structlog
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from prometheus_client import Gauge
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as CannotConnect
from redis.exceptions import TimeoutError as TakesTooLong

log = structlog.get_logger()
tracer = trace.get_tracer("sutler.cache")

SILENCE: tuple[type[Exception], ...] = (CannotConnect, TakesTooLong)
"""What the client of Valkey raises when it hears nothing."""

BREAKERS = Gauge(
    "sutler_circuit_breaker_state", "1 for the state that the circuit breaker is in", ["dependency", "state"]
)


class State(StrEnum):
    CLOSED = "closed"
    """All are let through."""
    OPEN = "open"
    """Nobody is, until it has cooled down."""
    HALF_OPEN = "half_open"
    """One is on its way to find out."""


class Breaker:
    """Opens after so many failures in a row, and lets one through to try after each cool-down.

    A failure is one of ``silence``; who is not let through gets the first of these.
    """

    def __init__(
        self, dependency: str, *, silence: tuple[type[Exception], ...], failures: int, cool_down: float
    ) -> None:
        self._dependency = dependency
        self._silence = silence
        self._most = failures
        self._cool_down = cool_down
        self._failures = 0
        self._opened_at = 0.0
        self.state = State.CLOSED
        self._tell()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around each question; raises what silence raises, without asking, while it is open."""
        if not self._lets_through():
            raise self._silence[0]("it did not answer a moment ago, and was not asked again")
        is_heard = False
        try:
            yield
            is_heard = True
        except self._silence:
            self._failures += 1
            raise
        except Exception:  # an answer, if not the one that was hoped for
            is_heard = True
            raise
        finally:
            self._note(is_heard=is_heard)

    def _lets_through(self) -> bool:
        if self.state is State.CLOSED:
            return True
        if self.state is State.HALF_OPEN or time.monotonic() < self._opened_at + self._cool_down:
            return False
        self._turn(State.HALF_OPEN)
        return True

    def _note(self, *, is_heard: bool) -> None:
        """What became of a question; whoever gave up waiting has heard nothing, and may have been the one to try."""
        if is_heard:
            self._failures = 0
            self._turn(State.CLOSED)
        elif self.state is State.HALF_OPEN or self._failures >= self._most:
            self._opened_at = time.monotonic()
            self._turn(State.OPEN)

    def _turn(self, state: State) -> None:
        if state is not self.state:
            log.warning("circuit_breaker", dependency=self._dependency, state=state)
            self.state = state
            self._tell()

    def _tell(self) -> None:
        for state in State:
            BREAKERS.labels(self._dependency, state).set(self.state is state)


def _told(command: str) -> AbstractContextManager[object]:
    """A span of the trace that asks, if there is one; it names no keys, which hold the ids of sessions and people."""
    if not trace.get_current_span().is_recording():
        return nullcontext()
    attributes = {"db.system.name": "valkey", "db.operation.name": command}
    return tracer.start_as_current_span(command, kind=SpanKind.CLIENT, attributes=attributes)


class WatchedRedis(Redis):
    """A client of Valkey with a breaker before all that is asked of it."""

    breaker: Breaker

    @classmethod
    def behind(cls, breaker: Breaker, url: str, **options: Any) -> "WatchedRedis":
        made = cast("WatchedRedis", cls.from_url(url, **options))
        made.breaker = breaker
        return made

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        with self.breaker.watched(), _told(str(args[0])):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "WatchedPipeline":  # noqa: FBT001
        made = WatchedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        made.breaker = self.breaker
        return made


class WatchedPipeline(Pipeline):
    breaker: Breaker

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001
        with self.breaker.watched(), _told("PIPELINE"):
            return await super().execute(raise_on_error)
