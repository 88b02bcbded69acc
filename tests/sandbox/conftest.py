"""The sandbox as a process of its own, a shop that listens to its webhooks, and clients for both."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from subprocess import Popen
from typing import Any

import aiohttp
import aiosmtplib
import pytest
import stripe
from aiohttp import web

from tests.support.processes import answers, free_port, process

KEY = "sk_test_sutler"
WEBHOOK_SECRET = "whsec_sutler"


async def wait_until(holds: Callable[[], object], within: float = 10.0) -> None:
    """Returns as soon as ``holds()`` is true; fails when it never becomes so."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110  what it waits for is in another process
            await asyncio.sleep(0.005)


@dataclass
class Hooks:
    """The shop's end of the webhooks: keeps what arrives and answers with ``status``."""

    url: str
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    events: list[stripe.Event] = field(default_factory=list)

    async def hear(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if self.status == 200:
            signed = request.headers["Stripe-Signature"]
            self.events.append(stripe.Webhook.construct_event(body, signed, WEBHOOK_SECRET))
        self.bodies.append(body)
        return web.Response(status=self.status)

    def types(self) -> list[str]:
        return sorted(event.type for event in self.events)

    async def wait_for(self, *types: str) -> None:
        with contextlib.suppress(TimeoutError):
            await wait_until(lambda: self.types() == sorted(types))
        assert self.types() == sorted(types)


@dataclass
class Sandbox:
    """Where a sandbox process is, and how to talk to it."""

    url: str
    smtp_port: int
    http: aiohttp.ClientSession
    stripe: stripe.StripeClient
    hooks: Hooks

    @property
    def intents(self) -> Any:
        return self.stripe.v1.payment_intents

    async def authorized(self, amount: int = 5000, **more: Any) -> Any:
        """An intent whose money is held on a good card."""
        wish: dict[str, Any] = {"capture_method": "manual", "payment_method": "pm_card_visa", **more}
        return await self.confirmed(amount, **wish)

    async def confirmed(self, amount: int = 5000, key: str | None = None, **more: Any) -> Any:
        wish = {"amount": amount, "currency": "usd", "confirm": True, "payment_method_types": ["card"], **more}
        return await self.intents.create_async(wish, {"idempotency_key": key} if key else None)

    async def post(self, path: str, form: dict[str, str], key: str | None = None) -> tuple[int, dict[str, Any], Any]:
        """A bare call of Stripe's API: status, body and headers."""
        headers = {"Authorization": f"Bearer {KEY}", **({"Idempotency-Key": key} if key else {})}
        async with self.http.post(f"{self.url}{path}", data=form, headers=headers) as answer:
            return answer.status, await answer.json(), answer.headers

    async def get(self, path: str) -> Any:
        async with self.http.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {KEY}"}) as answer:
            return await answer.json()

    async def faults(self, **payments: Any) -> None:
        async with self.http.put(f"{self.url}/faults", json={"payments": payments}) as answer:
            assert answer.status == 200, await answer.text()

    async def next_fault(self, operation: str, fault: str, **more: Any) -> None:
        await self.faults(next=[{"operation": operation, "fault": fault, **more}])

    async def ledger(self, intent: str) -> list[tuple[str, int, str, str | None]]:
        rows = (await self.get(f"/ledger?payment_intent={intent}"))["items"]
        return [(row["kind"], row["amount"], row["currency"], row["idempotency_key"]) for row in rows]

    async def send_mail(self, to: str, subject: str = "Hello", text: str = "Good day.\n") -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "Sutler <shop@example.com>", to, subject
        message["Message-ID"] = "<order-1@example.com>"
        message.set_content(text)
        message.add_alternative(f"<p>{text.strip()}</p>", subtype="html")
        await aiosmtplib.send(message, hostname="127.0.0.1", port=self.smtp_port)


StartSandbox = Callable[[], AbstractAsyncContextManager["Popen[bytes]"]]


@pytest.fixture(scope="session")
async def sandbox_hooks() -> AsyncIterator[Hooks]:
    port = free_port()
    hooks = Hooks(f"http://127.0.0.1:{port}/hooks")
    server = web.Server(hooks.hear, access_log=None)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", port)
    yield hooks
    listener.close()
    await server.shutdown(1)


@asynccontextmanager
async def opened(url: str, smtp_port: int, hooks: Hooks) -> AsyncIterator[Sandbox]:
    transport = stripe.AIOHTTPClient()
    client = stripe.StripeClient(KEY, base_addresses={"api": url}, http_client=transport, max_network_retries=0)
    async with aiohttp.ClientSession() as http:
        yield Sandbox(url, smtp_port, http, client, hooks)
    await transport.close_async()  # type: ignore[no-untyped-call]


async def emptied(sandbox: Sandbox) -> None:
    async with sandbox.http.delete(f"{sandbox.url}/state") as answer:
        assert answer.status == 204
    sandbox.hooks.status = 200
    sandbox.hooks.bodies.clear()
    sandbox.hooks.events.clear()


def environment(directory: Path, port: int, smtp_port: int, hooks: Hooks) -> dict[str, str]:
    return {
        "APP_ENV": "test",
        "APP_SANDBOX__PORT": str(port),
        "APP_SANDBOX__SMTP_PORT": str(smtp_port),
        "APP_SANDBOX__DATABASE": str(directory / "sandbox.sqlite3"),
        "APP_SANDBOX__WEBHOOK_URL": hooks.url,
        "APP_SANDBOX__WEBHOOK_EVENTS": '["*"]',
    }


@pytest.fixture(scope="session")
async def sandbox_process(
    sandbox_hooks: Hooks, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Sandbox, "Popen[bytes]"]]:
    """One process for all tests that do not kill it."""
    port, smtp_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    directory = tmp_path_factory.mktemp("sandbox")
    variables = environment(directory, port, smtp_port, sandbox_hooks)
    with process("sandbox", environment=variables, ready=answers(f"{url}/health"), log=directory / "log") as child:
        async with opened(url, smtp_port, sandbox_hooks) as sandbox:
            yield sandbox, child


@pytest.fixture
async def sandbox_clean(sandbox_process: tuple[Sandbox, "Popen[bytes]"]) -> Sandbox:
    """The sandbox with nothing in it."""
    sandbox, _ = sandbox_process
    await emptied(sandbox)
    return sandbox


@pytest.fixture
async def sandbox_mortal(sandbox_hooks: Hooks, tmp_path: Path) -> AsyncIterator[tuple[Sandbox, StartSandbox]]:
    """A sandbox that a test starts, kills and starts again over the same files."""
    port, smtp_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    variables = environment(tmp_path, port, smtp_port, sandbox_hooks)

    @asynccontextmanager
    async def start() -> AsyncIterator["Popen[bytes]"]:
        running = process("sandbox", environment=variables, ready=answers(f"{url}/health"), log=tmp_path / "log")
        # In a thread, so that meanwhile the loop notices which connections the last process took with it.
        child = await asyncio.to_thread(running.__enter__)
        try:
            yield child
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)

    sandbox_hooks.bodies.clear()
    sandbox_hooks.events.clear()
    async with opened(url, smtp_port, sandbox_hooks) as sandbox:
        yield sandbox, start
    sandbox_hooks.status = 200
