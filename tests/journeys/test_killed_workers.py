"""Workers die in the middle of a checkout; the order does not notice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import pytest
from sqlalchemy import text

from db.catalog_import import import_records
from domain.catalog import ProductRecord, VariantRecord
from domain.exports import WriteExport
from domain.inventory import StockLevel
from domain.money import Money
from runtime.catalog_export import export_file
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.engines import PrivateShop, private_shop
from tests.support.files import EXPORTS, Importer, a_mark, a_waiting_export, csv_of
from tests.support.people import mails_to
from tests.support.shopper import Shopper
from tests.support.waiting import eventually
from workflows.catalog_export import CatalogExport
from workflows.names import Queue, catalog_export_id, catalog_import_id


@pytest.fixture(scope="module")
async def private(
    resources: Resources, workers: None, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PrivateShop]:
    """The session's workers carry the letters, which stand in the tables that all share."""
    async with private_shop(resources, environment, tmp_path_factory.mktemp("killed")) as private:
        yield private


@pytest.fixture
async def shop(private: PrivateShop) -> AsyncIterator[PrivateShop]:
    """Without any worker; those of a test end with it."""
    yield private
    await private.stop_workers()


@pytest.mark.matrix("checkout: a worker is killed while the card is asked")
async def test_a_checkout_worker_killed_while_the_card_is_asked_confirms_and_charges_once(
    shop: PrivateShop, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=3)
    worker = await shop.start_worker(Queue.CHECKOUT)
    await shop.start_worker(Queue.PAYMENTS)
    shopper = Shopper(shop.http, email="killed.checkout@example.com")
    cart = await shopper.a_cart((product.variant_id, 1))
    await slow_down_the_next_card(sandbox, seconds=1.5)

    answer = asyncio.create_task(shopper.check_out(cart))
    await eventually(lambda: is_placed(resources, cart))
    worker.kill()
    await asyncio.to_thread(worker.wait)
    await shop.start_worker(Queue.CHECKOUT)
    await shop.start_worker(Queue.FULFILLMENT)

    await is_confirmed_and_charged_once((await answer), product, sandbox, resources)
    assert len(await mails_to(sandbox, shopper.email)) == 1


@pytest.mark.matrix("checkout: a worker is killed while it places the order")
async def test_a_checkout_worker_killed_inside_the_placing_transaction_places_the_order_once(
    shop: PrivateShop, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=3)
    worker = await shop.start_worker(Queue.CHECKOUT)
    await shop.start_worker(Queue.PAYMENTS)
    shopper = Shopper(shop.http)
    cart = await shopper.a_cart((product.variant_id, 1))

    async with resources.sessions.begin() as session:
        await session.execute(text("SELECT 1 FROM stock WHERE variant_id = :id FOR UPDATE"), {"id": product.variant_id})
        answer = asyncio.create_task(shopper.check_out(cart))
        await eventually(lambda: somebody_waits_for_stock(resources))
        worker.kill()
        await asyncio.to_thread(worker.wait)
    await shop.start_worker(Queue.CHECKOUT)

    await is_confirmed_and_charged_once((await answer), product, sandbox, resources)


@pytest.mark.matrix("checkout: a worker is killed while the card is asked")
async def test_a_payments_worker_killed_while_the_card_is_asked_charges_once(
    shop: PrivateShop, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=3)
    await shop.start_worker(Queue.CHECKOUT)
    worker = await shop.start_worker(Queue.PAYMENTS)
    shopper = Shopper(shop.http)
    cart = await shopper.a_cart((product.variant_id, 1))
    await slow_down_the_next_card(sandbox, seconds=1.5)

    answer = asyncio.create_task(shopper.check_out(cart))
    await eventually(lambda: is_placed(resources, cart))
    await eventually(lambda: the_fault_was_used(sandbox))
    worker.kill()
    await asyncio.to_thread(worker.wait)
    await shop.start_worker(Queue.PAYMENTS)

    await is_confirmed_and_charged_once((await answer), product, sandbox, resources)


async def test_a_worker_of_several_processes_replaces_one_that_is_killed_and_ends_as_a_whole_when_told_to(
    shop: PrivateShop, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=3)
    worker = await shop.start("cli", "worker", Queue.CHECKOUT, Queue.PAYMENTS, "--processes", "2")
    crew = psutil.Process(worker.pid)
    [killed, other] = crew.children()

    killed.kill()

    async def is_replaced() -> list[psutil.Process] | None:
        now = crew.children()
        return now if len(now) == 2 and killed not in now else None

    members = await eventually(is_replaced)
    assert other in members
    shopper = Shopper(shop.http)
    answer = await shopper.check_out(await shopper.a_cart((product.variant_id, 1)))
    await is_confirmed_and_charged_once(answer, product, sandbox, resources)

    worker.terminate()
    assert await asyncio.to_thread(worker.wait) == 0
    assert [member for member in members if member.is_running()] == []


@pytest.mark.matrix("import: a worker is killed in the middle")
async def test_a_catalog_worker_killed_in_the_middle_of_a_file_loses_no_row_and_doubles_none(
    shop: PrivateShop, operator: dict[str, str], resources: Resources
) -> None:
    in_small_chunks = {"APP_CATALOG__CHUNK_ROWS": "40"}
    worker = await shop.start("cli", "worker", Queue.CATALOG, **in_small_chunks)
    desk, mark = Importer(shop.http, operator), a_mark()
    made = await desk.sent(csv_of(mark, 2000))

    async def is_in_the_middle() -> bool:
        return int((await desk.see(made))["rows"]) >= 200

    await eventually(is_in_the_middle)
    worker.kill()
    await asyncio.to_thread(worker.wait)
    left = await desk.see(made)
    assert (left["status"], 200 <= left["rows"] < 2000) == ("running", True)
    await shop.start("cli", "worker", Queue.CATALOG, **in_small_chunks)

    done = await desk.ended(made)
    assert (done["status"], done["rows"], done["failed"]) == ("completed", 2000, 0)
    assert done["products"] == done["variants"] == {"created": 2000, "updated": 0, "unchanged": 0}
    async with resources.sessions() as session:
        moved = await session.execute(
            text(
                "SELECT count(DISTINCT variants.id), count(*), sum(on_hand_change) FROM stock_movements "
                "JOIN variants ON variants.id = variant_id WHERE sku LIKE :mark"
            ),
            {"mark": f"{mark}%"},
        )
        assert tuple(moved.one()) == (2000, 2000, 6000)


@pytest.mark.matrix("export: a worker is killed in the middle")
async def test_a_catalog_worker_killed_in_the_middle_of_an_export_leaves_a_complete_and_exact_file(
    shop: PrivateShop, operator: dict[str, str], resources: Resources, tmp_path: Path
) -> None:
    mark = a_mark()
    goods = [
        ProductRecord(
            line=n,
            slug=f"{mark}-{n}",
            name=f"Mug {n}",
            description="words " * 2000,
            variants=[VariantRecord(line=n, sku=f"{mark}-{n}", price=Money(500, "USD"))],
        )
        for n in range(60)
    ]
    async for imported in import_records(resources.engine, goods):
        assert imported.errors == []
    worker = await shop.start_worker(Queue.CATALOG)
    export_id = await a_waiting_export(resources.sessions)

    async def seen() -> dict[str, Any]:
        return dict((await shop.http.get(f"{EXPORTS}/{export_id}", headers=operator)).json())

    async with resources.sessions() as standing_in_the_way:
        await standing_in_the_way.execute(SECOND_PIECE, {"export_id": export_id})
        await shop.client.start_workflow(
            CatalogExport.run,
            WriteExport(export_id=export_id),
            id=catalog_export_id(export_id),
            task_queue=Queue.CATALOG,
        )
        await eventually(lambda: is_written_in_part(seen))
        worker.kill()
        await asyncio.to_thread(worker.wait)
    left = await seen()
    assert (left["status"], 0 < left["products"] < left["expected"]) == ("running", True)
    await shop.start_worker(Queue.CATALOG)

    story = shop.client.get_workflow_handle_for(CatalogExport.run, catalog_export_id(export_id))
    written = await story.result()
    file = (await shop.http.get(f"{EXPORTS}/{export_id}/file", headers=operator)).content
    await export_file(resources.settings, tmp_path / "exact.jsonl", "USD")
    assert file == (tmp_path / "exact.jsonl").read_bytes()
    assert written.products == len(file.splitlines()) >= 60
    assert (await seen())["bytes"] == len(file)


SECOND_PIECE = text(
    "INSERT INTO catalog_export_pieces (export_id, attempt, number, content) VALUES (:export_id, 1, 1, '')"
)
"""Whoever writes this piece waits for whoever wrote it, and did not commit."""


async def is_written_in_part(seen: Callable[[], Awaitable[dict[str, Any]]]) -> bool:
    return int((await seen())["bytes"]) > 0


@pytest.mark.matrix("import: somebody cancels it in the middle")
async def test_an_import_cancelled_in_the_middle_keeps_what_it_has_imported(
    shop: PrivateShop, operator: dict[str, str], resources: Resources
) -> None:
    await shop.start("cli", "worker", Queue.CATALOG, APP_CATALOG__CHUNK_ROWS="20")
    desk, mark = Importer(shop.http, operator), a_mark()
    made = await desk.sent(csv_of(mark, 2000))

    async def has_begun() -> bool:
        return int((await desk.see(made))["rows"]) > 0

    await eventually(has_begun)
    cancelled, again = await desk.ask(made, "cancel"), await desk.ask(made, "cancel")

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert again.json() == cancelled.json()
    story = shop.client.get_workflow_handle(catalog_import_id(UUID(made), 1))
    assert await story.result() == "cancelled"
    assert await desk.see(made) == cancelled.json()
    rows = cancelled.json()["rows"]
    assert 0 < rows < 2000
    async with resources.sessions() as session:
        there = await session.scalar(text("SELECT count(*) FROM products WHERE slug LIKE :mark"), {"mark": f"{mark}%"})
    assert there == rows
    refused = await desk.ask(made, "retry")
    assert (refused.status_code, refused.json()["current_status"], refused.json()["allowed"]) == (409, "cancelled", [])


async def slow_down_the_next_card(sandbox: httpx.AsyncClient, *, seconds: float) -> None:
    fault = {"operation": "create", "fault": "latency", "ms": int(seconds * 1000)}
    response = await sandbox.put("/faults", json={"payments": {"next": [fault]}})
    assert response.status_code == 200, response.text


async def the_fault_was_used(sandbox: httpx.AsyncClient) -> bool:
    faults: dict[str, Any] = (await sandbox.get("/faults")).json()
    return not faults["payments"]["next"]


async def is_placed(resources: Resources, cart_id: str) -> bool:
    async with resources.sessions() as session:
        return bool(await session.scalar(text("SELECT 1 FROM orders WHERE cart_id = :id"), {"id": UUID(cart_id)}))


async def somebody_waits_for_stock(resources: Resources) -> bool:
    async with resources.sessions() as session:
        waiting = await session.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM stock%'")
        )
        return bool(waiting)


async def is_confirmed_and_charged_once(
    answer: httpx.Response, product: AProduct, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert (order["status"], order["payment"]["status"]) == ("confirmed", "authorized")
    ledger = (await sandbox.get("/ledger")).json()["items"]
    of_this_order = [row for row in ledger if row["metadata"].get("order_id") == order["id"]]
    assert [(row["kind"], row["amount"]) for row in of_this_order] == [("authorize", 1499)]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=1)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=1)
    async with resources.sessions() as session:
        events = await session.scalars(
            text("SELECT type FROM order_events WHERE order_id = :id ORDER BY sequence"), {"id": UUID(order["id"])}
        )
        assert events.all() == ["order.placed", "order.confirmed"]
