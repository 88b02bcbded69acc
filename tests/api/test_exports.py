"""The whole catalogue, written into a file in the background."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import ActivityEnvironment

from activities.exports import ExportActivities, Picture
from db import catalog_attributes, exports, import_chunks, imports, migrations
from db.catalog_import import import_records
from db.engine import sessions_of
from deploy import embedded
from domain.catalog import ProductRecord, VariantRecord
from domain.catalog_attributes import Attribute, AttributeKind
from domain.customers import Role
from domain.exports import ExportStatus, WriteExport
from domain.imports import FileFormat, ReadChunk
from domain.money import Money
from providers.complete_journey import best_sellers
from runtime.resources import Resources, connected
from runtime.settings import Database, Settings
from tests.support.catalog import a_product
from tests.support.files import EXPORTS, JSONL, Importer, a_mark, a_waiting_export, a_waiting_import
from tests.support.staff import headers_of
from tests.support.waiting import eventually


@pytest.fixture
async def shop(stack: embedded.Running) -> AsyncIterator[AsyncEngine]:
    """The database of a shop that nobody else changes."""
    schema = f"shop_{uuid4().hex[:8]}"
    await asyncio.to_thread(migrations.upgrade, stack.database_url, shop_schema=schema)
    database = Database.model_validate({"url": stack.database_url, "shop_schema": schema, "pool_size": 3})
    async with connected(Settings(database=database), database.url) as engine:
        yield engine
        async with engine.begin() as connection:
            await connection.execute(text(f'DROP SCHEMA "{schema}" CASCADE'))


async def fill(shop: AsyncEngine, *records: ProductRecord) -> None:
    async for imported in import_records(shop, records):
        assert imported.errors == []


async def written(shop: AsyncEngine, export_id: UUID) -> tuple[Any, bytes]:
    """The export when it is over, and its file."""
    sessions = sessions_of(shop)
    await ActivityEnvironment().run(ExportActivities(shop, sessions).write, WriteExport(export_id=export_id))
    async with sessions() as session:
        made = await exports.with_file(session, export_id)
        pieces, number = [], 0
        while (content := await exports.piece(session, export_id, made.attempt, number)) is not None:
            pieces.append(content)
            number += 1
    return made, b"".join(pieces)


RICH = ProductRecord(
    line=1,
    slug="rich",
    name="Rich, “and famous”",
    description="Two < three\n& a line",
    brand="Söhne & Co",
    category=("A > B", "C"),
    tags=("new", "sale"),
    attributes={"weight": 1.25},
    published_from=datetime(2026, 1, 1, 8, tzinfo=UTC),
    variants=[
        VariantRecord(line=1, sku=f"rich-{size}", price=Money(1999, "USD"), name=size, options={"size": size}, stock=3)
        for size in "SL"
    ],
)


@pytest.mark.parametrize("file_format", list(FileFormat))
async def test_an_import_of_an_export_changes_nothing(shop: AsyncEngine, file_format: FileFormat) -> None:
    async with sessions_of(shop).begin() as session:
        await catalog_attributes.put(session, Attribute(code="weight", name="Weight", kind=AttributeKind.NUMBER))
    await fill(shop, *best_sellers(1500, "USD"), RICH)
    fits = 1501 if file_format is FileFormat.JSONL else 1500

    made, content = await written(shop, await a_waiting_export(sessions_of(shop), file_format))

    assert (made.status, made.products, made.left_out) == (ExportStatus.COMPLETED, fits, 1501 - fits)
    reason = "it has tags, attributes or times; JSON lines can hold them"
    assert made.examples == ([] if made.left_out == 0 else [{"slug": "rich", "reason": reason}])
    assert len(content) == made.size
    again = await a_waiting_import(sessions_of(shop), content, file_format)
    number, is_over = 0, False
    while not is_over:
        async with sessions_of(shop).begin() as session:
            chunk = ReadChunk(import_id=again, attempt=1, number=number)
            is_over = (await import_chunks.read(session, chunk, most_rows=500)).is_over
        number += 1
    async with sessions_of(shop)() as session:
        done = await imports.by_id(session, again)
    assert (done.failed, done.products_created, done.products_updated, done.products_unchanged) == (0, 0, 0, fits)
    assert (done.variants_created, done.variants_updated) == (0, 0)


async def test_what_changes_while_an_export_is_written_is_not_in_it(shop: AsyncEngine) -> None:
    goods = best_sellers(2500, "USD")
    await fill(shop, *goods)
    export_id = await a_waiting_export(sessions_of(shop))
    async with sessions_of(shop).begin() as session:
        made = await exports.begin(session, export_id)
    picture = Picture(shop, made)
    pieces = picture.pieces()
    content = await anext(pieces)
    async with shop.begin() as connection:
        await connection.execute(text("UPDATE products SET name = 'Changed'"))
        await connection.execute(text("DELETE FROM prices"))

    async for piece in pieces:
        content += piece

    names = [json.loads(line)["name"] for line in content.splitlines()]
    assert names == [product.name for product in goods]
    assert (picture.products, picture.left_out, picture.size) == (2500, 0, len(content))


async def test_an_export_that_is_begun_again_is_written_once(shop: AsyncEngine) -> None:
    await fill(shop, ProductRecord(line=1, slug="mug", name="Mug", variants=[RICH.variants[0]]))
    export_id, sessions = await a_waiting_export(sessions_of(shop)), sessions_of(shop)
    async with sessions.begin() as session:
        dead = await exports.begin(session, export_id)
        assert await exports.keep_piece(session, dead, 0, b"half a pro", products=1, left_out=0)

    made, content = await written(shop, export_id)
    async with sessions.begin() as session:
        assert not await exports.keep_piece(session, dead, 1, b"duct", products=2, left_out=0)
        late = await exports.complete(session, export_id, 1, size=1, products=9, left_out=0, examples=[])
    again, same = await written(shop, export_id)

    assert (made.attempt, made.products, json.loads(content)["slug"]) == (2, 1, "mug")
    assert (late.attempt, late.products) == (2, 1)
    assert (again.attempt, same) == (2, content)


async def test_staff_asks_for_an_export_and_has_the_file(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    key = {"Idempotency-Key": a_mark()}

    asked = await api.post(EXPORTS, json={}, headers={**operator, **key})
    again = await api.post(EXPORTS, json={}, headers={**operator, **key})

    assert (asked.status_code, asked.json()["format"], asked.json()["currency"]) == (202, "jsonl", "USD")
    assert (again.status_code, again.json()) == (202, asked.json())
    where = asked.headers["location"]
    assert where == again.headers["location"] == f"{EXPORTS}/{asked.json()['id']}"

    async def is_written() -> dict[str, Any] | None:
        seen: dict[str, Any] = (await api.get(where, headers=operator)).json()
        return seen if seen["status"] == "completed" else None

    done = await eventually(is_written)
    file = await api.get(f"{where}/file", headers=operator)
    lines = file.content.splitlines(keepends=True)
    assert (file.headers["content-type"].split(";")[0], len(file.content)) == (JSONL, done["bytes"])
    assert len(lines) == done["products"]
    [line] = [line for line in lines if json.loads(line)["slug"] == product.slug]
    unchanged = await Importer(api, operator).imported(line, JSONL)
    assert unchanged["products"] == {"created": 0, "updated": 0, "unchanged": 1}


async def test_an_export_says_how_far_it_is_until_it_is_cancelled(shop: AsyncEngine) -> None:
    await fill(shop, *best_sellers(3, "USD"))
    export_id, sessions = await a_waiting_export(sessions_of(shop)), sessions_of(shop)
    async with sessions.begin() as session:
        made = await exports.begin(session, export_id)
        await exports.keep_piece(session, made, 0, b"two products", products=2, left_out=0)
    async with sessions() as session:
        half = await exports.by_id(session, export_id)
    assert (half.status, half.products, half.expected, half.size) == ("running", 2, 3, 12)

    async with sessions.begin() as session:
        await exports.cancel(session, export_id)
    async with sessions.begin() as session:
        assert not await exports.keep_piece(session, made, 1, b"the third", products=3, left_out=0)
        await exports.complete(session, export_id, made.attempt, size=21, products=3, left_out=0, examples=[])
    told = await ActivityEnvironment().run(ExportActivities(shop, sessions).write, WriteExport(export_id=export_id))

    assert (told.status, told.products, told.left_out) == (ExportStatus.CANCELLED, 2, 0)
    async with sessions() as session:
        left = await exports.by_id(session, export_id)
        assert (left.attempt, left.status, left.products, left.size) == (1, "cancelled", 2, 12)
        assert await exports.piece(session, export_id, 1, 0) is None


async def test_an_export_is_cancelled_once_and_a_written_one_not_at_all(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources
) -> None:
    waits, is_written = [await a_waiting_export(resources.sessions) for _ in range(2)]
    async with resources.sessions.begin() as session:
        made = await exports.begin(session, is_written)
        await exports.complete(session, is_written, made.attempt, size=0, products=0, left_out=0, examples=[])
    key = {"Idempotency-Key": a_mark()}

    first = await api.post(f"{EXPORTS}/{waits}/cancel", headers={**operator, **key})
    twin = await api.post(f"{EXPORTS}/{waits}/cancel", headers={**operator, **key})
    again = await api.post(f"{EXPORTS}/{waits}/cancel", headers=operator)
    refused = await api.post(f"{EXPORTS}/{is_written}/cancel", headers=operator)

    assert (first.status_code, first.json()["status"], first.json()["kept_until"]) == (200, "cancelled", None)
    assert first.json() == twin.json() == again.json() == (await api.get(f"{EXPORTS}/{waits}", headers=operator)).json()
    file = await api.get(f"{EXPORTS}/{waits}/file", headers=operator)
    assert (file.status_code, file.json()["code"]) == (410, "export_file_gone")
    assert (refused.status_code, refused.json()["code"]) == (409, "export_transition_not_allowed")
    assert (refused.json()["current_status"], refused.json()["allowed"]) == ("completed", [])
    assert (await api.get(f"{EXPORTS}/{is_written}", headers=operator)).json()["status"] == "completed"
    nowhere = await api.post(f"{EXPORTS}/{uuid4()}/cancel", headers=operator)
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")


async def test_exports_are_listed_page_by_page_the_newest_first(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources
) -> None:
    made = [await a_waiting_export(resources.sessions) for _ in range(3)]

    first = (await api.get(EXPORTS, params={"limit": 2}, headers=operator)).json()
    rest = await api.get(EXPORTS, params={"limit": 1, "cursor": first["next_cursor"]}, headers=operator)

    assert [item["id"] for item in first["items"] + rest.json()["items"]] == [str(one) for one in reversed(made)]
    assert first["items"][0] == (await api.get(f"{EXPORTS}/{made[2]}", headers=operator)).json()
    forged = await api.get(EXPORTS, params={"cursor": "forged"}, headers=operator)
    assert (forged.status_code, forged.json()["code"]) == (400, "malformed_request")


async def test_a_file_that_is_not_there_is_refused(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources
) -> None:
    export_id = await a_waiting_export(resources.sessions, FileFormat.CSV)

    early = await api.get(f"{EXPORTS}/{export_id}/file", headers=operator)
    async with resources.sessions.begin() as session:
        made = await exports.begin(session, export_id)
        await exports.keep_piece(session, made, 0, b"Handle\n", products=0, left_out=0)
        await exports.complete(session, export_id, made.attempt, size=7, products=0, left_out=0, examples=[])
        old = "UPDATE catalog_exports SET ended_at = now() - interval '8 days' WHERE id = :id"
        await session.execute(text(old), {"id": export_id})
    there = await api.get(f"{EXPORTS}/{export_id}/file", headers=operator)
    async with resources.sessions.begin() as session:
        await exports.tidy(session, older_than=resources.settings.catalog.keep)
    gone = await api.get(f"{EXPORTS}/{export_id}/file", headers=operator)

    assert (early.status_code, early.json()["code"]) == (409, "export_not_finished")
    assert (there.status_code, there.content, there.headers["content-type"]) == (
        200,
        b"Handle\n",
        "text/csv",
    )
    assert (gone.status_code, gone.json()["code"]) == (410, "export_file_gone")
    assert (await api.get(f"{EXPORTS}/{uuid4()}", headers=operator)).json()["code"] == "not_found"


async def test_exports_are_for_staff(api: httpx.AsyncClient, resources: Resources) -> None:
    customer = await headers_of(resources, Role.CUSTOMER)
    for headers, status in ((customer, 403), ({}, 401)):
        answers = [
            await api.post(EXPORTS, json={}, headers=headers),
            await api.get(f"{EXPORTS}/{uuid4()}", headers=headers),
            await api.get(f"{EXPORTS}/{uuid4()}/file", headers=headers),
            await api.get(EXPORTS, headers=headers),
            await api.post(f"{EXPORTS}/{uuid4()}/cancel", headers=headers),
        ]
        assert [answer.status_code for answer in answers] == [status] * 5
