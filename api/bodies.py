"""Bodies that are too large, too deep, or too slow."""

import asyncio
import math
from contextlib import suppress
from typing import Any

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

from domain.errors import Refusal

REFUSALS = 400
OF_A_BODY = (b"content-length", b"transfer-encoding")

FILES = "/v1/admin/catalog/imports"

MOST_TO_DISCARD = 64 * 1024 * 1024


def discarding(app: ASGIApp) -> ASGIApp:
    """Reads the rest of a body that is refused, and throws it away, before saying so.

    Most clients listen only when they have sent everything: if the connection were closed while they send, they would
    see a broken connection instead of the refusal.
    """

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return

        is_read = False

        async def receive_and_note() -> ReceiveMessage:
            nonlocal is_read
            message = await receive()
            is_read = not message.get("more_body", False)
            return message

        async def send_after_the_body(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= REFUSALS and not is_read:
                await _discard(receive)
            await send(message)

        await app(scope, receive_and_note, send_after_the_body)

    return middleware


async def _discard(receive: Receive) -> None:
    discarded = 0
    with suppress(Refusal):  # what was wrong before is what is said
        while discarded < MOST_TO_DISCARD:
            message = await receive()
            if message["type"] != "http.request" or not message["more_body"]:
                return
            discarded += len(message["body"])


DEEPEST = 64
"""So deep may lists and objects of a body lie in each other. Nothing that we take is half as deep."""


class ShallowRequest(Request[Any, Any, Any]):
    """Refuses bodies of lists in lists in lists, which cost more to look at than to send."""

    async def json(self) -> Any:
        body = await self.body()
        try:
            parsed = await super().json()
        except RecursionError:
            raise too_deep() from None
        if body.count(b"[") + body.count(b"{") > DEEPEST and depth_of(parsed) > DEEPEST:
            raise too_deep()
        return parsed


def too_deep() -> Refusal:
    return Refusal("malformed_request", f"The body has more than {DEEPEST} levels.")


def depth_of(parsed: Any) -> int:
    level, depth = [parsed], 0
    while level := [part for part in level if isinstance(part, list | dict)]:
        depth += 1
        level = [child for part in level for child in (part.values() if isinstance(part, dict) else part)]
    return depth


def hurrying(app: ASGIApp, *, pause_seconds: float, whole_seconds: float) -> ASGIApp:
    """Gives up a body whose next piece, or whose end, does not come in time; the end of a file may take its time."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        now = asyncio.get_running_loop().time
        ends_at = math.inf if scope["path"].startswith(FILES) else now() + whole_seconds
        has_body = any(name in OF_A_BODY for name, _ in scope["headers"])
        is_whole = is_given_up = False

        async def receive_in_time() -> Any:
            nonlocal is_whole, is_given_up
            if is_whole:
                return await receive()
            if is_given_up:
                return {"type": "http.disconnect"}
            try:
                async with asyncio.timeout_at(min(now() + pause_seconds, ends_at)):
                    message = await receive()
            except TimeoutError:
                is_given_up = True
                raise Refusal("request_too_slow", "The body did not come in time.") from None
            if message["type"] == "http.disconnect" and has_body:
                is_given_up = True
                raise Refusal("malformed_request", "The body broke off.")
            is_whole = message["type"] != "http.request" or not message["more_body"]
            return message

        await app(scope, receive_in_time, send)

    return middleware
