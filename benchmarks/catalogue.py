"""Reading the catalogue, against a bare ASGI answer of the same bytes on the same server in the same run."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks.load import Series, hammered
from benchmarks.report import Row
from benchmarks.shop import Shop, answering, part
from deploy.ports import free_ports

ROUNDS = 3
SECONDS = 2.0
CONNECTIONS = (50, 400)
SUBJECTS = (
    "catalogue list, 20 products",
    "product by id",
    "search",
    "list with facets",
    "list, 304",
    "product by id, 304",
)
IN_ALL = ROUNDS * len(SUBJECTS) * len(CONNECTIONS)


@dataclass(frozen=True, kw_only=True)
class Subject:
    name: str
    path: str
    body: bytes = b""
    header: str = ""
    status: int = 200


async def run(shop: Shop, progress: Callable[[str], None]) -> list[Row]:
    """All of them warm: each has been asked for before, as nearly all questions of shoppers have."""
    rows = []
    for subject in await subjects(shop):
        async with bare(shop, subject.body) as floor_port:
            for connections in CONNECTIONS:
                ours, floor = [], []
                for _ in range(ROUNDS):
                    floor.append(await asked(subject, connections, floor_port))
                    ours.append(await asked(subject, connections, shop.api_port))
                    progress(subject.name)
                rows.append(Row(subject.name, f"{connections} connections", ours, floor))
    return rows


async def subjects(shop: Shop) -> list[Subject]:
    """What is read, and the bytes of the answers."""
    async with aiohttp.ClientSession(shop.api_url) as http:

        async def answer(path: str) -> tuple[bytes, str]:
            async with http.get(path) as told:
                told.raise_for_status()
                return await told.read(), told.headers["ETag"]

        page = await (await http.get("/v1/products?limit=20")).json()
        paths = [
            "/v1/products?limit=20",
            f"/v1/products/{page['items'][0]['id']}",
            "/v1/products?limit=20&q=milk",
            "/v1/products?limit=20&facets=category,brand,price",
        ]
        answers = [await answer(path) for path in paths]
        known = [
            Subject(name=name, path=path, body=body)
            for name, path, (body, _) in zip(SUBJECTS[: len(paths)], paths, answers, strict=True)
        ]
        unchanged = [
            Subject(name=name, path=paths[which], header=f"If-None-Match: {answers[which][1]}", status=304)
            for which, name in enumerate(SUBJECTS[len(paths) :])
        ]
        return known + unchanged


async def asked(subject: Subject, connections: int, *ports: int) -> Series:
    return await hammered(
        *ports,
        path=subject.path,
        connections=connections,
        seconds=SECONDS,
        header=subject.header,
        status=subject.status,
    )


@asynccontextmanager
async def bare(shop: Shop, body: bytes) -> AsyncIterator[int]:
    """The port of an application that answers these bytes and nothing else."""
    with TemporaryDirectory() as directory:
        kept, [port] = Path(directory) / "body", free_ports(1)
        kept.write_bytes(body)
        own = {**shop.environment, "BENCH_BODY": str(kept), "BENCH_PORT": str(port)}
        async with part("benchmarks.bare", environment=own, log=Path(directory)):
            await answering(f"http://127.0.0.1:{port}/")
            yield port
