"""Bodies that are refused before they were read."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

REFUSALS = 400

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
    while discarded < MOST_TO_DISCARD:
        message = await receive()
        if message["type"] != "http.request" or not message["more_body"]:
            return
        discarded += len(message["body"])
