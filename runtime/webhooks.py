"""Events on their way to endpoints of others: signed as Standard Webhooks says, into the internet and nowhere else."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import perf_counter
from uuid import UUID

from aiohttp import ClientError, ClientResponse
from prometheus_client import Counter
from standardwebhooks import Webhook

from domain.webhooks import LONGEST_ANSWER, Answer, Letter
from runtime.outgoing import ForbiddenTargetError, Resolve, Target, checked, resolved, session_to
from runtime.sealing import Seal

ATTEMPTS = Counter(
    "sutler_webhook_attempts_total",
    "Events that were sent to webhook endpoints, by what came of it: taken, refused, silent or forbidden",
    ["outcome"],
)
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
        began = perf_counter()
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
            return _unanswered("forbidden", str(forbidden), began)
        except TimeoutError:
            return _unanswered("silent", f"There was no answer in {self._seconds:g} seconds.", began)
        except (ClientError, OSError) as error:
            return _unanswered("silent", f"The connection failed: {type(error).__name__}.", began)
        told = Answer(status=answer.status, milliseconds=_since(began), said=said, wishes_pause=_retry_after(answer))
        ATTEMPTS.labels("taken" if told.is_taken else "refused").inc()
        return told

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


def _unanswered(outcome: str, problem: str, began: float) -> Answer:
    ATTEMPTS.labels(outcome).inc()
    return Answer(status=None, milliseconds=_since(began), problem=problem)


def _since(began: float) -> int:
    return round((perf_counter() - began) * 1000)
