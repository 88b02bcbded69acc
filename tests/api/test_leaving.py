"""An API process is told to stop; nobody who asks it notices."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.processes import answers, free_port, process
from tests.support.waiting import eventually

CART = b'{"currency": "USD"}'
HEAD = b"POST /v1/carts HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
async def leaver(environment: dict[str, str], log_file: Path) -> AsyncIterator[tuple["Popen[bytes]", int]]:
    """An API process, and its port, that takes two seconds to leave."""
    port = free_port()
    own = {**environment, "APP_API__PORT": str(port), "APP_API__LEAVE_SECONDS": "2"}
    ready = answers(f"http://127.0.0.1:{port}/health")
    part = process("cli", "api", environment=own, ready=ready, log=log_file, is_counted=True)
    child = await asyncio.to_thread(part.__enter__)
    try:
        yield child, port
    finally:
        await asyncio.to_thread(part.__exit__, None, None, None)


async def test_a_process_that_leaves_says_so_answers_meanwhile_and_finishes_what_it_has_begun(
    leaver: tuple["Popen[bytes]", int], resources: Resources
) -> None:
    process, port = leaver
    product = await a_product(resources.sessions)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as api:
        ready_to_show = f"/v1/products/{product.product_id}"
        for path in ("/ready", ready_to_show, ready_to_show):
            stays = await api.get(path)
            assert (stays.status_code, stays.headers.get("connection")) == (200, None), path
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD % len(CART) + CART[:5])
        await writer.drain()

        process.send_signal(signal.SIGTERM)
        await eventually(lambda: says_that_it_leaves(api))

        unready = await api.get("/ready")
        assert unready.json()["checks"] == {"database": "ok", "cache": "ok", "workflow_engine": "ok"}
        for path in ("/health", ready_to_show):
            last = await api.get(path)
            assert (last.status_code, last.headers["connection"]) == (200, "close"), path
        await eventually(lambda: nobody_listens(port))
    writer.write(CART[5:])
    told = await reader.read()
    writer.close()

    assert told.startswith(b"HTTP/1.1 201")
    assert await asyncio.to_thread(process.wait) == 0


async def says_that_it_leaves(api: httpx.AsyncClient) -> bool:
    answer = await api.get("/ready")
    return (answer.status_code, answer.json()["status"]) == (503, "unavailable")


async def nobody_listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False
