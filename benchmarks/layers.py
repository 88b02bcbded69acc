"""What each layer of a catalogue read costs, without server and network: ``python -m benchmarks.layers [PRODUCTS]``.

The application is called as the server calls it, by one caller at a time, so the times are processor time and waiting.
"""

import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import uvloop
from litestar import Litestar
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from api.app import create_app
from api.hot_answers import HotAnswers
from benchmarks.load import Series
from benchmarks.report import keep_text
from benchmarks.shop import shop
from domain.languages import Languages
from runtime.settings import Settings

Application = Callable[[Any, Any, Any], Awaitable[None]]


async def answered(application: Application, path: str) -> bytes:
    parts: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"{path}: {message['status']}")
        parts.append(message.get("body", b""))

    await application(
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        },
        receive,
        send,
    )
    return b"".join(parts)


@dataclass
class Question:
    """What Granian asks by RSGI, and where it takes the answer."""

    path: str
    method: str = "GET"
    query_string: str = ""
    client: str = "127.0.0.1:1"
    server: str = "127.0.0.1:80"
    scheme: str = "http"
    http_version: str = "1.1"
    headers: dict[str, str] = field(default_factory=lambda: {"host": "127.0.0.1"})
    body: bytes = b""

    def response_bytes(self, _status: int, _headers: list[tuple[str, str]], body: bytes) -> None:
        self.body = body


async def ready(application: HotAnswers, path: str) -> bytes:
    question = Question(path)
    await application.__rsgi__(question, question)  # type: ignore[arg-type]
    return question.body


async def timed(ask: Callable[[str], Awaitable[bytes]], paths: list[str]) -> Series:
    times = []
    begin = time.perf_counter()
    for path in paths:
        asked = time.perf_counter()
        await ask(path)
        times.append(time.perf_counter() - asked)
    return Series.of(times, time.perf_counter() - begin)


@asynccontextmanager
async def application(settings: Settings) -> AsyncIterator[Litestar]:
    """With an empty memory of its own."""
    app = create_app(settings)
    async with app.lifespan():
        yield app


async def some_products(app: Litestar, count: int) -> list[str]:
    async with app.state.resources.sessions() as session:
        ids = await session.scalars(text("SELECT product_id FROM listed_products LIMIT :count"), {"count": count})
        return [f"/v1/products/{product_id}" for product_id in ids]


async def main(count: int) -> None:
    layers: dict[str, Series] = {}
    async with shop() as running:
        os.environ.update({**running.environment, "APP_CACHE__PREFIX": f"layers-{uuid4().hex}:"})
        settings = Settings()
        async with application(settings) as one, application(settings) as other:
            paths = await some_products(one, count)
            for app in (one, other):
                await answered(app, paths[0])
            layers["framework, and Postgres"] = await timed(partial(answered, one), paths[1:])
            layers["framework, and Valkey"] = await timed(partial(answered, other), paths[1:])
            layers["framework, and the process' own memory"] = await timed(partial(answered, other), paths)
            hot = HotAnswers(
                other,
                other.state.doorway,
                other.state.browsers,
                other.state.leaving,
                languages=Languages("en"),
                most_bytes=100_000_000,
            )
            await timed(partial(ready, hot), paths)
            layers["ready answers, before the framework"] = await timed(partial(ready, hot), paths)
    table = told(layers)
    Console().print(table)
    Console().print(f"Written to {keep_text(table, 'layers')}")


def told(layers: dict[str, Series]) -> Table:
    table = Table(title="A product by id, by where the answer comes from: the application alone, one caller")
    for column in ("answered by", "per second", "p50 µs", "p99 µs"):
        table.add_column(column, justify="left" if column == "answered by" else "right")
    for layer, series in layers.items():
        table.add_row(
            layer, f"{series.per_second:,.0f}", f"{series.p50_ms * 1000:,.0f}", f"{series.p99_ms * 1000:,.0f}"
        )
    return table


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
