"""EasyPost, which speaks with some hundred carriers and tells of each in the same words, by its official package."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from easypost import EasyPostClient, errors
from easypost.util import validate_webhook
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from pydantic import SecretStr
from requests.adapters import HTTPAdapter

from domain.carriers import Followed, ParcelToFollow
from domain.tracking import CarrierNews, TrackingStatus
from providers.carriers.base import CarrierSilent, MessageForged

tracer = trace.get_tracer("sutler.carriers")

STATUSES = {
    "pre_transit": TrackingStatus.ANNOUNCED,
    "in_transit": TrackingStatus.IN_TRANSIT,
    "out_for_delivery": TrackingStatus.OUT_FOR_DELIVERY,
    "available_for_pickup": TrackingStatus.AWAITS_PICKUP,
    "delivered": TrackingStatus.DELIVERED,
    "return_to_sender": TrackingStatus.RETURNING,
    "failure": TrackingStatus.FAILED,
    "error": TrackingStatus.FAILED,
}
ABOUT_PARCELS = ("tracker.created", "tracker.updated")
LONGEST = 100
"""Of an id or a number; longer ones are not EasyPost's."""
AT_ONCE = 8
"""So many questions wait for EasyPost at a time, in threads of their own: its package knows no other way to wait."""

CARRIER_SILENCE: tuple[type[Exception], ...] = (errors.HttpError, errors.TimeoutError)
"""What the package raises when nobody answers."""
REFUSALS = (errors.BadRequestError, errors.PaymentError, errors.NotFoundError, errors.InvalidRequestError)
"""Answers that are the same however often is asked. A key that is wrong can be put right within a day."""
NO_ANSWER = (LookupError, TypeError, AttributeError, ValueError)
"""What reading something else as an answer of EasyPost's can raise."""
NOT_A_MESSAGE = (*NO_ANSWER, RecursionError)

Guard = Callable[[], AbstractContextManager[None]]
Answer = TypeVar("Answer")


class EasyPostMessages:
    name = "easypost"

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret.get_secret_value()

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> CarrierNews | None:
        try:
            signed = {"X-Hmac-Signature": headers.get("x-hmac-signature", "")}
            event = validate_webhook(body, signed, self._secret)
            if event["description"] not in ABOUT_PARCELS:
                return None
            tracker: dict[str, Any] = event["result"]
            return CarrierNews(
                message_id=_short(event["id"]),
                carrier=_short(tracker["carrier"]),
                tracking_number=_short(tracker["tracking_code"]),
                status=STATUSES.get(tracker["status"]),
                at=_latest(tracker),
            )
        except (errors.SignatureVerificationError, *NOT_A_MESSAGE) as error:
            raise MessageForged("not signed by EasyPost, or not a message of its form") from error


class EasyPost:
    """Trackers, of which EasyPost keeps one for each carrier and number: asked for again, it answers with the first.

    That promise ends after three months, when carriers begin to use numbers anew, so it is not looked for one before.
    """

    name = EasyPostMessages.name
    tells = True

    def __init__(self, client: EasyPostClient, *, guard: Guard, threads: ThreadPoolExecutor) -> None:
        self._client = client
        self._guard = guard
        self._threads = threads
        self._address = urlsplit(client.api_base).hostname or ""

    async def follow(self, parcel: ParcelToFollow) -> Followed:
        wish = partial(self._client.tracker.create, carrier=parcel.carrier, tracking_code=parcel.tracking_number)
        try:
            tracker = await self._asked("tracker.create", wish)
        except SaidNo as refused:
            return Followed(is_followed=False, refusal=refused.code)
        with silence_is_named():
            return Followed(is_followed=bool(tracker.id))

    async def _asked(self, what: str, question: Callable[[], Answer]) -> Answer:
        """One guarded question; the span names its kind, not what it is about."""
        attributes = {"server.address": self._address}
        span = tracer.start_as_current_span(f"easypost {what}", kind=SpanKind.CLIENT, attributes=attributes)
        loop = asyncio.get_running_loop()
        # Named inside the span, which would otherwise keep what EasyPost said in full.
        with span, silence_is_named(), self._guard():
            return await loop.run_in_executor(self._threads, question)


class SaidNo(Exception):
    """EasyPost's answer is no; ``code`` is its own word for why, and tells nothing of anybody."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@contextmanager
def silence_is_named() -> Iterator[None]:
    """What EasyPost says in full quotes what it was asked, so only the kind of its answer is passed on."""
    try:
        yield
    except REFUSALS as refused:
        raise SaidNo(_code(refused)) from None
    except errors.ApiError as error:
        raise CarrierSilent(f"EasyPost did not answer: {type(error).__name__} {error.http_status or ''}") from None
    except (errors.EasyPostError, *NO_ANSWER) as error:
        raise CarrierSilent(f"EasyPost answered something else: {type(error).__name__}") from None


def _code(refused: errors.ApiError) -> str:
    code = refused.code
    return code if isinstance(code, str) and 0 < len(code) <= LONGEST else "refused_by_carrier"


class OneTry(EasyPostClient):
    """Asks once: the engine asks again, and two layers would multiply the load on a partner in trouble.

    It takes no passwords and proxies from its machine, as no other client here does.
    """

    def __init__(self, api_key: str, api_base: str, timeout: int) -> None:
        super().__init__(api_key, api_base, timeout)
        self._requests_session.trust_env = False
        self._requests_session.mount(api_base, HTTPAdapter(max_retries=0, pool_maxsize=AT_ONCE))

    def close(self) -> None:
        self._requests_session.close()


@asynccontextmanager
async def easypost_carrier(
    *, api_base: str, api_key: str, timeout_seconds: int, guard: Guard = nullcontext
) -> AsyncIterator[EasyPost]:
    client = OneTry(api_key, api_base.rstrip("/"), timeout_seconds)
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="easypost")
    try:
        yield EasyPost(client, guard=guard, threads=threads)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        client.close()


def _latest(tracker: Mapping[str, Any]) -> datetime:
    """When the carrier last saw the parcel, which is older than when EasyPost heard of it."""
    seen = [_time(detail["datetime"]) for detail in tracker.get("tracking_details") or []]
    return max(seen) if seen else _time(tracker["updated_at"])


def _time(written: str) -> datetime:
    time = datetime.fromisoformat(written)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _short(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or "\0" in value:
        raise ValueError("not an id or a number of EasyPost's")
    value.encode()
    return value
