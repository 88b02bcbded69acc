"""Files of products, sent to be imported in the background."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.imports import ImportActivities
from db import catalog_attributes, import_chunks, imports
from db.base import new_id
from domain.catalog_attributes import Attribute, AttributeKind
from domain.customers import Role
from domain.errors import Refusal
from domain.imports import FileFormat, ImportStatus, ReadChunk
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.files import CSV, HEADER, IMPORTS, JSONL, Importer, a_mark, a_waiting_import, csv_of, jsonl_of
from tests.support.processes import answers, free_port, process
from tests.support.staff import headers_of

NO_SUCH_COLUMNS = (
    *(1, "Handle, Title, Variant Price"),
    "is not among the columns; this is not Shopify's product CSV",
)


@pytest.fixture
def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Importer:
    return Importer(api, operator)


async def products_of(resources: Resources, mark: str) -> int:
    async with resources.sessions() as session:
        found = await session.scalar(text("SELECT count(*) FROM products WHERE slug LIKE :slug"), {"slug": f"{mark}%"})
    return int(found or 0)


async def rows_kept(resources: Resources, table: str, import_id: str) -> int:
    async with resources.sessions() as session:
        query = text(f"SELECT count(*) FROM catalog_import_{table} WHERE import_id = :id")  # noqa: S608
        return int(await session.scalar(query, {"id": UUID(import_id)}) or 0)


async def test_two_thousand_rows_become_products_and_the_same_file_again_changes_nothing(
    desk: Importer, resources: Resources
) -> None:
    mark = a_mark()
    file = csv_of(mark, 2000)

    first, again = await desk.imported(file), await desk.imported(file)

    assert (first["status"], first["rows"], first["failed"], first["attempt"]) == ("completed", 2000, 0, 1)
    assert (first["products"], first["variants"]) == ({"created": 2000, "updated": 0, "unchanged": 0},) * 2
    assert first["bytes"] == first["bytes_read"] == len(file)
    assert again["products"] == {"created": 0, "updated": 0, "unchanged": 2000}
    assert await products_of(resources, mark) == 2000
    async with resources.sessions() as session:
        made = await imports.by_id(session, UUID(first["id"]))
    assert made.chunks == 4


async def test_rows_that_fail_are_told_with_their_lines_and_do_not_stop_the_others(desk: Importer) -> None:
    mark = a_mark()
    file = (
        csv_of(mark, 600)
        + f"{mark}-bad,Bad,,5.555,\n"
        + f"{mark}-7,Once more,,5,\n"
        + f"{mark}-many,Cups,{mark}-s,5,2\n{mark}-many,,{mark}-m,dear,2\n"
        + f"{mark}-few,Few\n"
        + f"{mark}-last,Last,{mark}-8,5,2"
    )

    done = await desk.imported(file)

    assert (done["status"], done["rows"], done["failed"]) == ("completed", 606, 5)
    assert done["products"] == {"created": 601, "updated": 0, "unchanged": 0}
    assert await desk.errors(done["id"]) == [
        (602, "Variant Price", "USD amounts have exactly 2 decimal places"),
        (603, "Handle", f"handle '{mark}-7' was used on line 9 before"),
        (605, "Variant Price", "not a plain decimal number"),
        (606, "", "has 2 cells, the header has 5"),
        (607, "Variant SKU", f"SKU '{mark}-8' was used on line 10 before"),
    ]
    assert await desk.failed_rows(done["id"]) == (
        HEADER
        + f"{mark}-bad,Bad,,5.555,\n"
        + f"{mark}-7,Once more,,5,\n"
        + f"{mark}-many,Cups,{mark}-s,5,2\n{mark}-many,,{mark}-m,dear,2\n"
        + f"{mark}-few,Few\n"
        + f"{mark}-last,Last,{mark}-8,5,2\n"
    )


async def test_errors_come_page_by_page(desk: Importer) -> None:
    mark = a_mark()
    done = await desk.imported(csv_of(mark, 5, price="free"))

    first = (await desk.get(f"{done['id']}/errors", limit=3)).json()
    rest = (await desk.get(f"{done['id']}/errors", limit=3, cursor=first["next_cursor"])).json()

    assert [[error["line"] for error in page["items"]] for page in (first, rest)] == [[2, 3, 4], [5, 6]]
    assert rest["next_cursor"] is None
    assert (await desk.get(f"{done['id']}/errors", cursor="forged")).json()["code"] == "malformed_request"


async def test_failed_rows_succeed_once_their_cause_is_mended(desk: Importer, resources: Resources) -> None:
    mark, attribute = a_mark(), f"a_{a_mark()}"
    rows: list[dict[str, Any]] = [
        {"slug": f"{mark}-plain", "name": "Plain", "price": "5.00"},
        {"slug": f"{mark}-rich", "name": "Rich", "price": "5.00", "attributes": {attribute: 3}},
        {"slug": f"{mark}-wrong", "name": "Wrong", "price": "cheap"},
    ]
    done = await desk.imported(jsonl_of(*rows), JSONL)
    assert await desk.errors(done["id"]) == [
        (2, f"/attributes/{attribute}", "There is no such attribute."),
        (3, "/price", "not a plain decimal number"),
    ]
    async with resources.sessions.begin() as session:
        await catalog_attributes.put(session, Attribute(code=attribute, name="A", kind=AttributeKind.NUMBER))

    asked = await desk.ask(done["id"], "retry", **{"Idempotency-Key": mark})
    twin = await desk.ask(done["id"], "retry", **{"Idempotency-Key": mark})
    retried = await desk.ended(done["id"])

    assert (asked.status_code, asked.json()["status"], asked.json()["attempt"]) == (202, "waiting", 2)
    assert (twin.status_code, twin.json()) == (202, asked.json())
    assert (retried["status"], retried["attempt"]) == ("completed", 2)
    assert (retried["rows"], retried["failed"]) == (3, 1)
    assert retried["products"] == {"created": 2, "updated": 0, "unchanged": 0}
    assert await desk.errors(done["id"]) == [(3, "/price", "not a plain decimal number")]
    assert await desk.failed_rows(done["id"], JSONL) == jsonl_of(rows[2])
    assert await products_of(resources, mark) == 2


async def test_a_later_row_of_a_product_is_tried_again_with_its_first(desk: Importer, resources: Resources) -> None:
    mark = a_mark()
    owner = await a_product(resources.sessions)
    file = HEADER + f"{mark},Cups,{mark}-s,5,2\n{mark},,{owner.sku},5,2\n"
    done = await desk.imported(file)
    assert [line for line, _, _ in await desk.errors(done["id"])] == [3]
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE variants SET sku = :new WHERE sku = :sku"), {"new": f"{mark}-old", "sku": owner.sku}
        )

    await desk.ask(done["id"], "retry")
    retried = await desk.ended(done["id"])

    assert retried["failed"] == 0
    assert retried["variants"] == {"created": 2, "updated": 0, "unchanged": 1}
    assert await desk.failed_rows(done["id"]) == HEADER


async def test_what_cannot_be_retried_or_cancelled_says_where_it_stands(desk: Importer) -> None:
    done = await desk.imported(csv_of(a_mark(), 1))

    nothing, cancelled = await desk.ask(done["id"], "retry"), await desk.ask(done["id"], "cancel")

    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_retry")
    assert (cancelled.status_code, cancelled.json()["code"]) == (409, "import_transition_not_allowed")
    assert (cancelled.json()["current_status"], cancelled.json()["allowed"]) == ("completed", ["waiting"])
    assert await desk.see(done["id"]) == done


async def test_the_same_file_with_the_same_key_is_one_import(desk: Importer, resources: Resources) -> None:
    mark = a_mark()
    file, key = csv_of(mark, 3), {"Idempotency-Key": mark}

    first, again = await desk.send(file, **key), await desk.send(file, **key)
    other, as_json = await desk.send(csv_of(mark, 4), **key), await desk.send(file, JSONL, **key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    for refused in (other, as_json):
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    await desk.ended(first.json()["id"])
    listed = (await desk.http.get(IMPORTS, params={"limit": 100}, headers=desk.headers)).json()["items"]
    assert [item["id"] for item in listed if item["id"] == first.json()["id"]] == [first.json()["id"]]
    async with resources.sessions() as session:
        left = await session.scalar(
            text("SELECT count(*) FROM catalog_imports WHERE actor = :actor AND status = 'receiving'"),
            {"actor": await actor_of(resources, first.json()["id"])},
        )
    assert left == 0
    assert await products_of(resources, mark) == 3


async def actor_of(resources: Resources, import_id: str) -> str:
    async with resources.sessions() as session:
        return (await imports.by_id(session, UUID(import_id))).actor


async def test_a_body_of_another_type_is_refused(desk: Importer) -> None:
    refused = await desk.send("{}", "application/json")

    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    assert refused.json()["detail"] == "Send text/csv or application/x-ndjson."


@pytest.fixture
async def strict(environment: dict[str, str], operator: dict[str, str], log_file: Path) -> AsyncIterator[Importer]:
    """Somebody at an API that takes small files only."""
    port = free_port()
    url, own = f"http://127.0.0.1:{port}", {"APP_API__PORT": str(port), "APP_CATALOG__IMPORT_MAX_BYTES": "300000"}
    with process("cli", "api", environment={**environment, **own}, ready=answers(f"{url}/health"), log=log_file):
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            yield Importer(client, operator)


async def test_a_file_that_is_too_large_is_refused_and_nothing_of_it_is_kept(
    strict: Importer, resources: Resources
) -> None:
    too_large = (a_mark() * 30_001).encode()

    async def in_parts() -> AsyncIterator[bytes]:
        for start in range(0, len(too_large), 10_000):
            yield too_large[start : start + 10_000]

    for content in (too_large, in_parts()):
        refused = await strict.send(content)
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
        assert refused.json()["detail"] == "A file may have at most 300,000 bytes; split it."
    async with resources.sessions() as session:
        kept = "SELECT count(*) FROM catalog_import_pieces WHERE substring(content FROM 1 FOR 10) = :beginning"
        assert await session.scalar(text(kept), {"beginning": too_large[:10]}) == 0


@pytest.mark.parametrize(
    ("content", "media_type", "error"),
    [
        (b"", CSV, NO_SUCH_COLUMNS),
        (b"a,b\n1,2\n", CSV, NO_SUCH_COLUMNS),
        ("mug".encode("utf-16"), JSONL, (1, "", "the file is UTF-16; save it as UTF-8")),
    ],
)
async def test_a_file_of_something_else_ends_with_one_error(
    desk: Importer, content: bytes, media_type: str, error: tuple[int, str, str]
) -> None:
    done = await desk.imported(content, media_type)

    assert (done["status"], done["rows"], done["failed"]) == ("completed", 0, 1)
    assert await desk.errors(done["id"]) == [error]


async def test_imports_are_for_staff(api: httpx.AsyncClient, resources: Resources) -> None:
    customer = Importer(api, await headers_of(resources, Role.CUSTOMER))
    somebody = Importer(api, {})
    for person, status in ((customer, 403), (somebody, 401)):
        answers = [
            await person.send(csv_of(a_mark(), 1)),
            await person.get(""),
            *[await person.get(f"{uuid4()}{path}") for path in ("", "/errors", "/failed-rows")],
            *[await person.ask(str(uuid4()), what) for what in ("retry", "cancel")],
        ]
        assert [answer.status_code for answer in answers] == [status] * 7


async def test_what_does_not_exist_is_not_found(desk: Importer) -> None:
    answers = [
        *[await desk.get(f"{uuid4()}{path}") for path in ("", "/errors", "/failed-rows")],
        *[await desk.ask(str(uuid4()), what) for what in ("retry", "cancel")],
    ]
    assert [answer.json()["code"] for answer in answers] == ["not_found"] * 5


async def test_the_routes_and_their_refusals_are_described(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]

    sending = paths[IMPORTS]["post"]
    assert set(sending["requestBody"]["content"]) == {CSV, JSONL}
    assert {"202", "401", "403", "413", "415", "422"} <= set(sending["responses"])
    retrying = paths[f"{IMPORTS}/{{import_id}}/retry"]["post"]
    assert "nothing_to_retry" in retrying["responses"]["409"]["description"]
    assert "import_rows_gone" in retrying["responses"]["410"]["description"]


class TestChunks:
    """Read by hand, one after the other."""

    async def read(self, resources: Resources, import_id: UUID, number: int, rows: int = 10) -> Any:
        async with resources.sessions.begin() as session:
            chunk = ReadChunk(import_id=import_id, attempt=1, number=number)
            return await import_chunks.read(session, chunk, most_rows=rows)

    async def test_a_chunk_that_is_done_twice_is_done_once(self, resources: Resources) -> None:
        mark = a_mark()
        made = await a_waiting_import(resources.sessions, csv_of(mark, 25).encode())

        progress = [await self.read(resources, made, number) for number in (0, 0, 1, 1, 0, 2, 2)]

        assert [step.rows for step in progress] == [10, 10, 20, 20, 20, 25, 25]
        assert [step.is_over for step in progress] == [False] * 5 + [True] * 2
        async with resources.sessions() as session:
            done = await imports.by_id(session, made)
        assert (done.status, done.products_created, done.products_unchanged) == (ImportStatus.COMPLETED, 25, 0)

    async def test_a_turn_goes_on_with_the_chunks_behind_its_own_and_reads_none_twice(
        self, resources: Resources
    ) -> None:
        mark = a_mark()
        made = await a_waiting_import(resources.sessions, csv_of(mark, 25).encode())
        read = ImportActivities(resources.sessions, chunk_rows=10).read_chunk
        first = ReadChunk(import_id=made, attempt=1, number=0)

        short, again, long = [
            await ActivityEnvironment().run(read, request)
            for request in (first, first, replace(first, turn_seconds=60))
        ]

        assert [(step.rows, step.chunks, step.is_over) for step in (short, again)] == [(10, 1, False)] * 2
        assert (long.rows, long.chunks, long.is_over) == (25, 3, True)
        async with resources.sessions() as session:
            done = await imports.by_id(session, made)
        assert (done.status, done.products_created, done.products_unchanged) == (ImportStatus.COMPLETED, 25, 0)

    async def test_a_cancelled_import_reads_no_further(self, resources: Resources) -> None:
        mark = a_mark()
        made = await a_waiting_import(resources.sessions, csv_of(mark, 25).encode())
        await self.read(resources, made, 0)
        async with resources.sessions.begin() as session:
            await imports.cancel(session, made)
            await imports.cancel(session, made)

        after = await self.read(resources, made, 1)

        assert (after.status, after.is_over, after.rows) == (ImportStatus.CANCELLED, True, 10)
        assert await products_of(resources, mark) == 10

    async def test_no_product_is_torn_apart_wherever_a_chunk_or_a_piece_ends(self, resources: Resources) -> None:
        mark = a_mark()
        wide = "wide " * 9_000
        header = "Handle,Title,Body (HTML),Variant SKU,Variant Price,Option1 Name,Option1 Value\n"
        file = header + "".join(
            f'{mark}-{n},Cup {n},"two\nlines {wide}",{mark}-{n}-s,5,Size,S\n{mark}-{n},,,{mark}-{n}-m,6,,M\n\n'
            for n in range(24)
        )
        made = await a_waiting_import(resources.sessions, file.encode())
        assert len(file) > 4 * imports.PIECE_BYTES

        number = 0
        while not (progress := await self.read(resources, made, number, rows=3)).is_over:
            number += 1

        assert (progress.rows, progress.failed, number) == (48, 0, 11)
        async with resources.sessions() as session:
            done = await imports.by_id(session, made)
        assert (done.products_created, done.variants_created) == (24, 48)

    async def test_a_product_that_is_larger_than_what_is_read_at_once_is_read_in_parts(
        self, resources: Resources, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mark = a_mark()
        monkeypatch.setattr(import_chunks, "WINDOW_BYTES", 128)
        monkeypatch.setattr(import_chunks, "WIDEST_WINDOW_BYTES", 512)
        large = [f"{mark},{'Cup' if n == 0 else ''},{mark}-{n},5,1\n" for n in range(40)]
        made = await a_waiting_import(
            resources.sessions, (HEADER + "".join(large) + f"{mark}-last,Last,,5,1\n").encode()
        )

        number = 0
        while not (progress := await self.read(resources, made, number)).is_over:
            number += 1

        assert (progress.status, progress.rows) == (ImportStatus.COMPLETED, 41)
        assert await products_of(resources, mark) == 2
        async with resources.sessions() as session:
            done = await imports.by_id(session, made)
            [first, *_] = await imports.errors(session, made, limit=1, after=(0, -1))
        assert done.variants_created + done.failed == 41
        assert first["message"] == "is empty; the rows of one product must follow each other, the first with its title"

    async def test_what_one_chunk_cannot_store_is_told_and_the_rest_of_it_imported(self, resources: Resources) -> None:
        mark, attribute = a_mark(), f"a_{a_mark()}"
        async with resources.sessions.begin() as session:
            await catalog_attributes.put(session, Attribute(code=attribute, name="A", kind=AttributeKind.TEXT))
        nul = {"slug": f"{mark}-nul", "name": "Nul", "price": "5", "attributes": {attribute: "a\0b"}}
        good = [{"slug": f"{mark}-{n}", "name": "Good", "price": "5"} for n in range(4)]
        made = await a_waiting_import(
            resources.sessions, jsonl_of(*good[:2], nul, *good[2:]).encode(), FileFormat.JSONL
        )

        progress = await self.read(resources, made, 0)

        assert (progress.rows, progress.failed, progress.is_over) == (5, 1, True)
        assert await products_of(resources, mark) == 4

    async def test_files_are_forgotten_some_days_after_their_import_has_ended(
        self, resources: Resources, desk: Importer
    ) -> None:
        made = await a_waiting_import(resources.sessions, csv_of(a_mark(), 3, price="free").encode())
        await self.read(resources, made, 0)
        async with resources.sessions.begin() as session:
            await session.execute(
                text("UPDATE catalog_imports SET ended_at = now() - interval '8 days' WHERE id = :id"), {"id": made}
            )
        async with resources.sessions.begin() as session:
            assert made in await imports.outdated(session, older_than=resources.settings.catalog.keep)
            await imports.tidy(session, made)
            await imports.tidy(session, made)

        for table in ("pieces", "keys", "rows", "errors"):
            assert await rows_kept(resources, table, str(made)) == 0
        seen = await desk.see(str(made))
        assert (seen["failed"], seen["kept_until"]) == (3, None)
        for answer in (await desk.get(f"{made}/errors"), await desk.ask(str(made), "retry")):
            assert (answer.status_code, answer.json()["code"]) == (410, "import_rows_gone")

    async def test_a_file_that_never_came_to_its_end_is_forgotten(self, resources: Resources) -> None:
        half = new_id()
        async with resources.sessions.begin() as session:
            await imports.begin(session, half, FileFormat.CSV, "USD", actor="operator:test")
            await imports.keep_piece(session, half, 0, b"Handle,Tit")
            await session.execute(
                text("UPDATE catalog_imports SET created_at = now() - interval '2 days' WHERE id = :id"), {"id": half}
            )

        async with resources.sessions.begin() as session:
            assert half in await imports.outdated(session, older_than=resources.settings.catalog.keep)
            await imports.tidy(session, half)

        async with resources.sessions() as session:
            with pytest.raises(Refusal, match="There is no such import"):
                await imports.by_id(session, half)
        assert await rows_kept(resources, "pieces", str(half)) == 0
