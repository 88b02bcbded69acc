"""Events on their way to endpoints of others: signed as Standard Webhooks says, into the internet and nowhere else."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from time import perf_counter, time_ns
from uuid import UUID

from aiohttp import ClientError, ClientResponse
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter
from standardwebhooks import Webhook

from domain.webhooks import LONGEST_ANSWER, Answer, Letter
from runtime.outgoing import ForbiddenTargetError, Resolve, Target, checked, resolved, session_to
from runtime.sealing import Seal


class Outcome(StrEnum):
    """What came of an attempt."""

    TAKEN = "taken"
    REFUSED = "refused"
    """By its status: a redirect, or 4xx."""
    FAILED = "failed"
    """Its server says that it cannot: 5xx."""
    SILENT = "silent"
    """There was no answer in time."""
    UNREACHABLE = "unreachable"
    FORBIDDEN = "forbidden"
    """Nothing may be sent to where it leads."""


ATTEMPTS = Counter(
    "sutler_webhook_attempts_total", "Events that were sent to webhook endpoints, by what came of it", ["outcome"]
)
for each in Outcome:
    ATTEMPTS.labels(each)  # so that the first of its kind is seen as one more

tracer = trace.get_tracer("sutler.webhooks")
IN_TRACE = TraceContextTextMapPropagator()

CONTENT_TYPE = "application/cloudevents+json"
USER_AGENT = "Sutler-Webhooks/1.0"


class Postman:
    """Sends one event to one endpoint, once. Redirects are not followed: where they lead was not checked."""

    def __init__(self, seal: Seal, *, seconds: float, is_internet: bool, resolve: Resolve = resolved) -> None:
        """With ``is_internet=False`` endpoints may be anywhere, and need no TLS."""
        self._seal = seal
        self._seconds = seconds
        self._is_internet = is_internet
        self._resolve = resolve

    async def target(self, url: str) -> Target:
        """Raises ``ForbiddenTargetError`` for where nothing may be sent."""
        schemes = ("https",) if self._is_internet else ("https", "http")
        return await checked(url, resolve=self._resolve, schemes=schemes, is_internet=self._is_internet)

    async def send(self, letter: Letter) -> Answer:
        """What came of it; whatever the endpoint does is an answer."""
        began = time_ns()
        outcome, answer = await self._tried(letter, perf_counter())
        ATTEMPTS.labels(outcome).inc()
        _tell_the_trace(letter, outcome, answer, began)
        return answer

    async def _tried(self, letter: Letter, began: float) -> tuple[Outcome, Answer]:
        try:
            async with asyncio.timeout(self._seconds):
                target = await self.target(letter.url)
                async with (
                    session_to(target, seconds=self._seconds) as session,
                    session.post(
                        target.url, data=letter.body, headers=self._headers(letter), allow_redirects=False
                    ) as answer,
                ):
                    said = await _beginning(answer)
        except ForbiddenTargetError as forbidden:
            return Outcome.FORBIDDEN, _unanswered(str(forbidden), began)
        except TimeoutError:
            return Outcome.SILENT, _unanswered(f"There was no answer in {self._seconds:g} seconds.", began)
        except (ClientError, OSError) as error:
            return Outcome.UNREACHABLE, _unanswered(f"The connection failed: {type(error).__name__}.", began)
        told = Answer(status=answer.status, milliseconds=_since(began), said=said, wishes_pause=_retry_after(answer))
        if told.is_taken:
            return Outcome.TAKEN, told
        return Outcome.FAILED if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else Outcome.REFUSED, told

    def _headers(self, letter: Letter) -> dict[str, str]:
        now = datetime.now(UTC)
        body = letter.body.decode()
        signatures = [Webhook(secret).sign(str(letter.event_id), now, body) for secret in self._secrets(letter)]
        return {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": USER_AGENT,
            "webhook-id": str(letter.event_id),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _secrets(self, letter: Letter) -> list[str]:
        return [self._seal.open(sealed, about(letter.endpoint_id)).decode() for sealed in letter.sealed_secrets]


def about(endpoint_id: UUID) -> bytes:
    """What a sealed secret is about: it is worth nothing in the row of another endpoint."""
    return b"webhook:" + endpoint_id.bytes


async def _beginning(answer: ClientResponse) -> str:
    """Enough for somebody to see what was wrong; the rest is not read."""
    said = bytearray()
    async for piece in answer.content.iter_any():
        said += piece
        if len(said) >= LONGEST_ANSWER:
            break
    return said[:LONGEST_ANSWER].decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _retry_after(answer: ClientResponse) -> timedelta | None:
    wish = answer.headers.get("Retry-After", "")
    return timedelta(seconds=int(wish)) if wish.isascii() and wish.isdigit() and len(wish) < 7 else None


def _tell_the_trace(letter: Letter, outcome: Outcome, answer: Answer, began: int) -> None:
    """Each attempt is told in the trace in which the event happened, and says neither to whom nor what was sent."""
    event = json.loads(letter.body)
    if "traceparent" not in event:
        return
    told: dict[str, str | int] = {
        "messaging.operation.name": "send",
        "messaging.message.id": str(letter.event_id),
        "cloudevents.event_type": event["type"],
        "http.request.method": "POST",
    }
    if answer.status is not None:
        told["http.response.status_code"] = answer.status
    if not answer.is_taken:
        told["error.type"] = outcome
    span = tracer.start_span(
        f"webhook {event['type']}",
        IN_TRACE.extract({"traceparent": event["traceparent"]}),
        kind=SpanKind.CLIENT,
        attributes=told,
        start_time=began,
    )
    if not answer.is_taken:
        span.set_status(StatusCode.ERROR)
    span.end()


def _unanswered(problem: str, began: float) -> Answer:
    return Answer(status=None, milliseconds=_since(began), problem=problem)


def _since(began: float) -> int:
    return round((perf_counter() - began) * 1000)
