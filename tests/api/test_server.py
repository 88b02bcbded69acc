"""What the server itself keeps away from the application, and what it tells browsers."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_problems import is_a_problem
from tests.support.catalog import a_product
from tests.support.processes import answers, free_port, process
from tests.support.staff import headers_of

SHOP_WINDOW = "https://window.example.com"


@dataclass
class Server:
    port: int
    http: httpx.AsyncClient

    async def tell(self, *pieces: bytes) -> bytes:
        """All that it answers on one connection, until it closes that or says no more for a second."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        told = b""
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            while True:
                async with asyncio.timeout(1 if told else 10):
                    if not (part := await reader.read(65536)):
                        break
                told += part
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return told


@pytest.fixture(scope="module")
async def server(
    environment: dict[str, str], resources: Resources, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """An API that is reached by https, from a shop window as well, and has little patience."""
    port = free_port()
    own = {
        **environment,
        "APP_API__PORT": str(port),
        "APP_API__BODY_PAUSE_SECONDS": "0.5",
        "APP_API__BODY_SECONDS": "1.5",
        "APP_API__HEADERS_SECONDS": "1",
        "APP_API__CORS_ORIGINS": f'["{SHOP_WINDOW}"]',
        "APP_SHOP__PUBLIC_URL": "https://shop.example.com",
    }
    url, log = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("server") / "api.log"
    part = process("cli", "api", environment=own, ready=answers(f"{url}/health"), log=log)
    await asyncio.to_thread(part.__enter__)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            yield Server(port, http)
    finally:
        await asyncio.to_thread(part.__exit__, None, None, None)


def statuses(told: bytes) -> list[int]:
    return [int(part[:3]) for part in told.split(b"HTTP/1.1 ")[1:]]


CART = b"POST /v1/carts HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
BODY = b'{"currency": "USD"}'
SMUGGLED = b"GET /v1/nothing/smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"


async def test_a_request_as_it_should_be(server: Server) -> None:
    assert statuses(await server.tell(CART + b"Content-Length: 19\r\n\r\n" + BODY)) == [201]
    assert statuses(
        await server.tell(CART + b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + BODY + b"\r\n0\r\n\r\n")
    ) == [201]


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 19\r\nContent-Length: 0\r\n",
        b"Content-Length: 19, 0\r\n",
        b"Content-Length: +19\r\n",
        b"Content-Length: 0x13\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length : 19\r\n",
        b"Content-Length: 19\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X-Note: one\r\n two\r\n",
        b"X-Note\x00: one\r\n",
        b"X-Note: o\x00ne\r\n",
    ],
)
async def test_a_request_whose_end_is_uncertain_is_refused_and_what_follows_is_not_read(
    server: Server, head: bytes
) -> None:
    told = await server.tell(CART + head + b"\r\n" + BODY + SMUGGLED)

    assert statuses(told) == [400]


async def test_of_two_lengths_only_the_pieces_count_and_the_connection_is_over(server: Server) -> None:
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"

    told = await server.tell(CART + both + b"13\r\n" + BODY + b"\r\n0\r\n\r\n" + SMUGGLED)

    assert b"smuggled" not in told


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"-1\r\n", b"13;\r\n", b"ffffffffffffffffff\r\n", b'5\r\n{"curXX\r\n'])
async def test_pieces_that_are_none_end_the_connection(server: Server, chunks: bytes) -> None:
    told = await server.tell(CART + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + BODY + SMUGGLED)

    assert statuses(told) in ([400], [])
    assert b"smuggled" not in told


async def test_headers_that_are_too_long_are_refused(server: Server) -> None:
    told = await server.tell(CART + b"X-Note: " + b"a" * 100_000 + b"\r\n\r\n")

    assert statuses(told) == [431]


async def test_too_many_headers_are_refused(server: Server) -> None:
    told = await server.tell(CART + b"".join(b"X-%d: 1\r\n" % n for n in range(500)) + b"\r\n")

    assert statuses(told) == [431]


async def test_a_connection_that_does_not_say_what_it_wants_is_closed(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /v1/products HTTP/1.1\r\nHost: sh")
    await writer.drain()

    async with asyncio.timeout(20):
        told = await reader.read()

    assert told == b""
    writer.close()


async def test_a_body_that_does_not_go_on_is_given_up(server: Server) -> None:
    told = await server.tell(CART + b"Content-Length: 19\r\n\r\n" + BODY[:5])

    assert statuses(told) == [408]
    assert b'"code":"request_too_slow"' in told


async def test_a_body_that_comes_byte_by_byte_is_given_up(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(CART + b"Content-Length: 500\r\n\r\n")

    async def drip() -> None:
        for _ in range(300):
            writer.write(b" ")
            await asyncio.sleep(0.1)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(20):
        told = await reader.read(4096)
    dripping.cancel()
    writer.close()

    assert statuses(told) == [408]


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: 500\r\n\r\nHandle,Title,Variant Price\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1c\r\nHandle,Title,Variant Price\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1c\r\nHandle,Title,Variant Price\r\n\r\nff\r\nmug,",
    ],
    ids=["a length", "pieces", "within a piece"],
)
async def test_a_file_that_breaks_off_is_not_taken_for_a_whole_one(
    server: Server, resources: Resources, sent: bytes
) -> None:
    operator = await headers_of(resources, Role.OPERATOR)
    imports = "/v1/admin/catalog/imports"
    before = (await server.http.get(imports, headers=operator)).json()
    head = f"POST {imports} HTTP/1.1\r\nHost: shop\r\nAuthorization: {operator['Authorization']}\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head + b"Content-Type: text/csv\r\n" + sent)
    writer.write_eof()

    async with asyncio.timeout(20):
        told = await reader.read()
    writer.close()

    assert statuses(told) in ([400], [])
    assert (await server.http.get(imports, headers=operator)).json() == before


def in_utf8(**headers: str) -> httpx.Headers:
    return httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}, encoding="utf-8")


async def test_a_value_that_is_not_ascii_is_refused_where_it_matters(server: Server, resources: Resources) -> None:
    operator = await headers_of(resources, Role.OPERATOR)
    product = await a_product(resources.sessions, stock=3)
    path, change = f"/v1/variants/{product.variant_id}/stock-adjustments", {"quantity_change": 1, "reason": "found"}

    refused = await server.http.post(path, json=change, headers=in_utf8(**operator, Idempotency_Key="ä"))
    unknown = await server.http.get("/v1/users/me", headers=in_utf8(Authorization="Bearer ä"))
    harmless = await server.http.get(f"/v1/products/{product.product_id}", headers=in_utf8(X_Note="ä"))

    is_a_problem(refused, 422, "validation_failed")
    is_a_problem(unknown, 401, "unauthenticated")
    assert (harmless.status_code, harmless.json()["stock_quantity"]) == (200, 3)


@pytest.mark.parametrize("depth", [65, 5_000, 400_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
async def test_a_body_that_is_too_deep_is_refused(server: Server, depth: int, opening: bytes, closing: bytes) -> None:
    body = (opening * depth + b"1" + closing * depth)[: 1024 * 1024]

    answer = await server.http.post("/v1/carts", content=body, headers={"Content-Type": "application/json"})

    is_a_problem(answer, 400, "malformed_request")


async def test_a_list_of_many_objects_is_not_deep(server: Server, resources: Resources) -> None:
    admin = await headers_of(resources, Role.ADMIN)

    answer = await server.http.post("/v1/admin/products/bulk", json={"products": [{"a": {}}] * 80}, headers=admin)

    is_a_problem(answer, 422, "validation_failed")


ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
}


def said(answer: httpx.Response) -> dict[str, Any]:
    return {name: answer.headers.get(name) for name in ALWAYS}


async def test_browsers_are_told_what_not_to_do_with_an_answer(server: Server, resources: Resources) -> None:
    product = await a_product(resources.sessions)
    path = f"/v1/products/{product.product_id}"

    for asked in ("/health", "/v1/nothing", path, path, "/v1/users/me"):
        assert said(await server.http.get(asked)) == ALWAYS, asked


async def test_a_page_says_itself_what_it_may_do(server: Server) -> None:
    for page in ("/docs", "/verify-email"):
        policy = (await server.http.get(page)).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; connect-src 'self'")
        assert "script-src 'self' 'sha256-" in policy or "script-src 'sha256-" in policy


async def test_without_https_browsers_are_not_told_to_insist_on_it(api: httpx.AsyncClient) -> None:
    assert said(await api.get("/health")) == {**ALWAYS, "strict-transport-security": None}


async def test_only_the_pages_that_were_named_may_ask(server: Server, resources: Resources) -> None:
    product = await a_product(resources.sessions)
    path = f"/v1/products/{product.product_id}"
    for _ in range(2):  # from the database, then from what is ready
        welcome = await server.http.get(path, headers={"Origin": SHOP_WINDOW})
        stranger = await server.http.get(path, headers={"Origin": "https://evil.example.com"})

        assert welcome.headers["access-control-allow-origin"] == SHOP_WINDOW
        assert "ratelimit" in welcome.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in welcome.headers
        assert "access-control-allow-origin" not in stranger.headers
        assert "Origin" in ", ".join(welcome.headers.get_list("vary"))
        assert "Origin" in ", ".join(stranger.headers.get_list("vary"))


async def test_a_browser_asks_before_it_sends(server: Server, api: httpx.AsyncClient) -> None:
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    path = f"/v1/carts/{uuid4()}/items"

    welcome = await server.http.options(path, headers={"Origin": SHOP_WINDOW, **asking})
    stranger = await server.http.options(path, headers={"Origin": "null", **asking})
    unnamed = await api.options(path, headers={"Origin": SHOP_WINDOW, **asking})

    assert welcome.status_code == 204
    assert welcome.headers["access-control-allow-origin"] == SHOP_WINDOW
    assert "POST" in welcome.headers["access-control-allow-methods"]
    assert "authorization" in welcome.headers["access-control-allow-headers"]
    assert not [name for answer in (stranger, unnamed) for name in answer.headers if name.startswith("access-control")]


ASKS_FOR_BATCHES = "import os; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))"


@pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", ASKS_FOR_BATCHES], stderr=subprocess.DEVNULL, check=False).returncode != 0,
    reason="this machine knows no such policy, or does not allow it",
)
async def test_threads_of_the_server_do_not_interrupt_each_other(server: Server) -> None:
    [worker] = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.pid and each.laddr and each.laddr.port == server.port and each.status == psutil.CONN_LISTEN
    }
    threads = psutil.Process(worker).threads()
    assert len(threads) >= 3
    assert {os.sched_getscheduler(thread.id) for thread in threads} == {os.SCHED_BATCH}
