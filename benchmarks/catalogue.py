"""Reading the catalogue, against a bare ASGI answer of the same bytes on the same server in the same run."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks.load import Series, hammered
from benchmarks.report import Row
from benchmarks.shop import Shop, answering, part
from deploy.ports import free_ports

ROUNDS = 7
SECONDS = 1.0
CONNECTIONS = (50, 400)
SUBJECTS = (
    "catalogue list, 20 products",
    "product by id",
    "search",
    "list with facets",
    "catalogue list, 20 products, 304",
    "product by id, 304",
)
OF_THE_SERVER = {"date", "server", "content-length"}
IN_ALL = ROUNDS * len(SUBJECTS) * len(CONNECTIONS)


@dataclass(frozen=True, kw_only=True)
class Subject:
    name: str
    path: str
    headers: Mapping[str, str]
    """Of the answer, without those that the server adds."""
    body: bytes = b""
    header: str = ""
    status: int = 200


async def run(shop: Shop, progress: Callable[[str], None]) -> list[Row]:
    """All of them warm: each has been asked for before, as nearly all questions of shoppers have."""
    rows = []
    for subject in await subjects(shop):
        async with bare(shop, subject) as floor_port:
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

        async def answer(path: str, known: str = "") -> tuple[bytes, Mapping[str, str]]:
            async with http.get(path, headers={"If-None-Match": known} if known else {}) as told:
                told.raise_for_status()
                body = await told.read()
                headers = {name.lower(): value for name, value in told.headers.items()}
                return body, {name: value for name, value in headers.items() if name not in OF_THE_SERVER}

        page = await (await http.get("/v1/products?limit=20")).json()
        paths = [
            "/v1/products?limit=20",
            f"/v1/products/{page['items'][0]['id']}",
            "/v1/products?limit=20&q=milk",
            "/v1/products?limit=20&facets=category,brand,price",
        ]
        answers = [await answer(path) for path in paths]
        known = [
            Subject(name=name, path=path, body=body, headers=headers)
            for name, path, (body, headers) in zip(SUBJECTS[: len(paths)], paths, answers, strict=True)
        ]
        return known + [
            Subject(
                name=f"{subject.name}, 304",
                path=subject.path,
                header=f"If-None-Match: {subject.headers['etag']}",
                headers=(await answer(subject.path, subject.headers["etag"]))[1],
                status=304,
            )
            for subject in known[:2]
        ]


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
async def bare(shop: Shop, subject: Subject) -> AsyncIterator[int]:
    """The port of an application that answers the same bytes, headers included, and nothing else."""
    with TemporaryDirectory() as directory:
        kept, [port] = Path(directory) / "body", free_ports(1)
        kept.write_bytes(subject.body)
        own = {
            **shop.environment,
            "BENCH_BODY": str(kept),
            "BENCH_HEADERS": json.dumps(dict(subject.headers)),
            "BENCH_PORT": str(port),
        }
        async with part("benchmarks.bare", environment=own, log=Path(directory)):
            await answering(f"http://127.0.0.1:{port}/")
            yield port
