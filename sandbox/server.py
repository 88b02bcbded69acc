"""One process, one loop: HTTP, SMTP and the postman.

aiohttp's low-level server parses HTTP in C and leaves the socket within reach, so that a connection can be cut
without an answer.
"""

import asyncio
import contextlib
import logging
import signal

from aiohttp import web
from pydantic import SecretStr

from runtime.settings import Settings
from sandbox.app import App, make_world
from sandbox.mail import Doorman
from sandbox.store import Store
from sandbox.webhooks import Postman, of_easypost, of_stripe
from sandbox.wire import Call, ConnectionCut

log = logging.getLogger("sandbox")

GRACE_SECONDS = 1.0


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    sandbox = settings.sandbox
    store = Store(sandbox.database)
    world = make_world(
        store,
        public_url=f"http://{sandbox.host}:{sandbox.port}",
        secret_key=settings.payments.stripe_api_key.get_secret_value(),
        carrier_key=said(settings.carriers.easypost_api_key),
        listened_to=frozenset(sandbox.webhook_events),
    )
    postman = Postman(
        world.outbox,
        {
            "stripe": of_stripe(sandbox.webhook_url, settings.payments.stripe_webhook_secret.get_secret_value()),
            "easypost": of_easypost(sandbox.carrier_webhook_url, said(settings.carriers.easypost_webhook_secret)),
        },
    )
    app = App(world)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await _handled(request, app, stop)

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    http = web.Server(handle, access_log=None)
    listeners = [
        await loop.create_server(http, sandbox.host, sandbox.port),
        await loop.create_server(Doorman(world.mailbox, world.faults), sandbox.host, sandbox.smtp_port),
    ]
    delivering = asyncio.create_task(postman.run())
    log.info("sandbox on http://%s:%s, SMTP on port %s", sandbox.host, sandbox.port, sandbox.smtp_port)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((stopping, delivering), return_when=asyncio.FIRST_COMPLETED)
    for listener in listeners:
        listener.close()
    http.pre_shutdown()  # or idle connections would be waited for
    await http.shutdown(GRACE_SECONDS)
    stopping.cancel()
    delivering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await delivering  # a postman that died of a bug takes the process with it and says why
    store.close()


def said(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


async def _handled(request: web.BaseRequest, app: App, stop: asyncio.Event) -> web.StreamResponse:
    def is_gone() -> bool:
        return stop.is_set() or request.transport is None or request.transport.is_closing()

    body = await request.read()
    try:
        answer = await app.answer(
            Call(request.method, request.path, request.rel_url.raw_query_string, request.headers, body, is_gone)
        )
    except ConnectionCut:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # goes nowhere: the connection is gone
    answer.headers["Content-Type"] = answer.content_type
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
