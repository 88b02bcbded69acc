"""Bodies that are refused before they were read."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE = 413

MOST_TO_DISCARD = 64 * 1024 * 1024


def discarding(app: ASGIApp) -> ASGIApp:
    """Reads the rest of a body that is too large, and throws it away, before saying so.

    Most clients listen only when they have sent everything: if the connection were closed while they send, they would
    see a broken connection instead of the 413.
    """

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return

        async def send_after_the_body(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == TOO_LARGE:
                await _discard(receive)
            await send(message)

        await app(scope, receive, send_after_the_body)

    return middleware


async def _discard(receive: Receive) -> None:
    discarded = 0
    while discarded < MOST_TO_DISCARD:
        message = await receive()
        if message["type"] != "http.request" or not message["more_body"]:
            return
        discarded += len(message["body"])
