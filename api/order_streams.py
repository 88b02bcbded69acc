"""An order's timeline as Server-Sent Events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
from litestar import Request, Response
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import Parameter
from litestar.response import ServerSentEventMessage, Stream
from litestar.types import HTTPScope
from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from api.auth import Caller, caller_of
from api.following import Follower, Followers
from domain.errors import Refusal

log = structlog.get_logger()

EVENT_STREAM = "text/event-stream"
COME_AGAIN_MS = range(1000, 3000)
"""How long a browser waits after a stream has broken off, before it asks for what came since. By chance within that, so
that not all of a process that has stopped come to the next one in the same moment."""
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx, and those who learned from it, would collect what is said
}
NOTHING_MORE = ServerSentEventMessage(event="end", data="").encode()
HEARTBEAT = ServerSentEventMessage(comment="", data=None).encode()

LastEventId = Annotated[
    int | None,
    Parameter(
        header="Last-Event-ID",
        default=None,
        ge=0,
        le=2**31 - 1,
        description="With `Accept: text/event-stream`: go on behind this event",
    ),
]


def is_stream_wanted(scope: HTTPScope) -> bool:
    """Does the request ask for an order's events as they happen?"""
    path = scope["path"]
    return (
        path.startswith("/v1/orders/")
        and path.rstrip("/").endswith("/events")
        and any(name == b"accept" and EVENT_STREAM.encode() in value for name, value in scope["headers"])
    )


@dataclass
class StreamedAsWell(Operation):
    """Says in the description of a route that its answer can be had as a stream."""

    def __post_init__(self) -> None:
        told = "With `Accept: text/event-stream`: each event as one message, its `id` being that of the event"
        responses: dict[str, OpenAPIResponse] = self.responses or {}  # type: ignore[assignment]
        content = responses["200"].content
        if content is not None:
            content[EVENT_STREAM] = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, description=told))
        responses["204"] = OpenAPIResponse(
            description="No more will happen to the order, and everything was told: browsers ask no more"
        )


def stream(
    request: Request[Any, Any, Any], followers: Followers, follower: Follower, shape: type[BaseModel], most_bytes: int
) -> Response[Any]:
    """The order's events from behind the last one that the client has; each is written as the ``shape`` of the page.

    The server takes what is said to a client that does not read, and does not tell us. So no more than about
    ``most_bytes`` is said at a time; whoever has read them comes again and goes on.
    """
    written = _written(request, followers, follower, shape)
    return Stream(_until(written, most_bytes), media_type=EVENT_STREAM, headers=HEADERS)


def whose_stream(request: Request[Any, Any, Any], caller: Caller) -> str:
    """Guests are told apart by their addresses."""
    return str(caller.id or request.scope["state"].get("address"))


async def _until(written: AsyncGenerator[bytes, None], most_bytes: int) -> AsyncIterator[bytes]:
    said = 0
    async with aclosing(written):
        async for message in written:
            yield message
            said += len(message)
            if said >= most_bytes:
                yield _come_again()
                return


async def _written(
    request: Request[Any, Any, Any], followers: Followers, follower: Follower, shape: type[BaseModel]
) -> AsyncGenerator[bytes, None]:
    yield _come_again()
    try:
        async with aclosing(followers.told(follower)) as told:
            async for news in told:
                if news:
                    await _recognise_again(request)
                    for row in news:
                        yield _message(row, shape)
                else:
                    yield HEARTBEAT
    except (Refusal, SQLAlchemyError, RedisError, OSError, TimeoutError) as error:
        # Whoever comes again is told what was wrong, if it still is.
        log.info("stream_ended", error=type(error).__name__)
    yield NOTHING_MORE if follower.has_seen_all else _come_again()


def _come_again() -> bytes:
    """Said at the beginning for what breaks off, and at an end that is none."""
    after_ms = random.choice(COME_AGAIN_MS)  # noqa: S311
    return ServerSentEventMessage(comment="", data=None, retry=after_ms).encode()


async def _recognise_again(request: Request[Any, Any, Any]) -> None:
    """Refuses ``unauthenticated`` to whoever has signed out meanwhile, or whose token has expired."""
    request.scope["state"].pop("caller", None)
    await caller_of(request)


def _message(row: RowMapping, shape: type[BaseModel]) -> bytes:
    written = shape.model_validate({**row, "id": row["sequence"]}).model_dump_json()
    return ServerSentEventMessage(id=row["sequence"], data=written).encode()
