"""Rows whose workflow is gone, and workflows whose row is over: every kind is found, and each repair makes it whole."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from activities.story_laws import KINDS, STORY_LAWS
from db import exports
from db.base import new_id
from db.customers import User
from domain.audit import Breach, Law, Repair
from domain.exports import WriteExport
from domain.imports import FileFormat, ImportCatalog
from domain.inventory import StockLevel
from tests.operations.test_audit import repair
from tests.support.catalog import a_product, stock_of
from tests.support.files import a_mark, a_waiting_import, csv_of
from tests.support.ledger import moved
from tests.support.own_shop import OwnShop
from tests.support.shopper import Shopper
from tests.support.waiting import eventually
from workflows import names
from workflows.catalog_export import CatalogExport
from workflows.catalog_import import CatalogImport
from workflows.names import (
    aftercare_id,
    catalog_export_id,
    catalog_import_id,
    erasure_id,
    payment_id,
    refund_id,
    registration_id,
    return_id,
)

Order = dict[str, Any]
RUNNING, TERMINATED = WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.TERMINATED
NOBODY = "nobody"


async def status(shop: OwnShop, workflow_id: str) -> WorkflowExecutionStatus | None:
    return (await shop.resources.temporal.get_workflow_handle(workflow_id).describe()).status


async def ended(shop: OwnShop, workflow_id: str) -> None:
    await shop.resources.temporal.get_workflow_handle(workflow_id).terminate("an operator's mistake")


async def runs(shop: OwnShop, workflow_id: str) -> None:
    async def it_does() -> bool:
        with suppress(RPCError):  # it has not begun yet
            return await status(shop, workflow_id) is RUNNING
        return False

    await eventually(it_does)


async def a_delivered_order_without_aftercare(shop: OwnShop) -> Order:
    """Also its own workflow has ended, which would see to it otherwise."""
    order = await shop.buy()
    await shop.deliver(order)
    await runs(shop, aftercare_id(UUID(order["id"])))

    async def its_own_has_ended() -> bool:
        return await status(shop, names.order_id(UUID(order["id"]))) is WorkflowExecutionStatus.COMPLETED

    await eventually(its_own_has_ended)
    await ended(shop, aftercare_id(UUID(order["id"])))
    return order


async def healed(shop: OwnShop, law: Law, subject: UUID, words: str) -> Breach:
    """The audit finds exactly this, and its repair makes it whole."""
    [breach] = (await shop.audit()).breaches
    assert (breach.law, breach.subject, breach.words) == (law, str(subject), words)
    assert (await repair(shop, breach)).is_healed
    assert (await shop.audit()).breaches == []
    return breach


# --- rows without a workflow ----------------------------------------------------------------------------------------


async def test_a_delivered_order_whose_aftercare_was_ended_is_looked_after_again(shop: OwnShop) -> None:
    order = await a_delivered_order_without_aftercare(shop)
    order_id = UUID(order["id"])

    breach = await healed(
        shop,
        Law.DELIVERED_ORDERS_ARE_CLOSED,
        order_id,
        f"order {order['number']} is delivered, and nobody closes it",
    )

    assert breach.order_id is None  # nobody has to decide anything about the order
    assert await status(shop, aftercare_id(order_id)) is RUNNING
    assert (await shop.look(order))["closed_at"] is None


async def test_an_order_of_a_time_before_orders_were_closed_is_closed_when_its_window_is_over(shop: OwnShop) -> None:
    order = await a_delivered_order_without_aftercare(shop)
    order_id = UUID(order["id"])
    long_ago = "UPDATE fulfillments SET delivered_at = now() - interval '31 days' WHERE order_id = :id"
    await shop.sql(long_ago, id=order_id)

    await healed(
        shop,
        Law.DELIVERED_ORDERS_ARE_CLOSED,
        order_id,
        f"order {order['number']} is delivered, and nobody closes it",
    )

    async def is_closed() -> bool:
        return bool((await shop.look(order))["closed_at"])

    await eventually(is_closed)
    assert (await shop.timeline(order))[-1] == "order.closed"
    assert await status(shop, aftercare_id(order_id)) is WorkflowExecutionStatus.COMPLETED
    assert (await shop.audit()).breaches == []


async def test_of_very_many_breaches_some_are_told_and_the_others_once_those_are_healed(
    shop: OwnShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.audit_stories.ROWS_AT_A_TIME", 1)
    monkeypatch.setattr("activities.audit_stories.MOST", 1)
    accounts = [await an_account(shop, hours_old=1) for _ in range(2)]

    for account in accounts:
        [breach] = (await shop.audit()).breaches
        assert breach.subject == str(account)
        assert (await repair(shop, breach)).is_healed

    assert (await shop.audit()).breaches == []
    for account in accounts:
        await shop.resources.temporal.get_workflow_handle(registration_id(account)).execute_update("verify")


async def an_account(shop: OwnShop, *, hours_old: int) -> UUID:
    """That nobody has verified, and that no workflow follows."""
    name = f"ada.{a_mark()}"
    async with shop.resources.sessions.begin() as session:
        user = User(username=name, email=f"{name}@example.com", password_hash="x")
        session.add(user)
    aged = f"UPDATE users SET created_at = now() - interval '{hours_old} hours' WHERE id = :id"  # noqa: S608 (a number)
    await shop.sql(aged, id=user.id)
    return user.id


async def test_an_account_whose_workflow_was_ended_can_be_verified_for_the_rest_of_its_time(shop: OwnShop) -> None:
    account = await an_account(shop, hours_old=1)

    await healed(
        shop,
        Law.ACCOUNTS_HAVE_A_STORY,
        account,
        f"account {account} waits for its verification, and its workflow is gone",
    )

    story = shop.resources.temporal.get_workflow_handle(registration_id(account))
    assert await story.execute_update("verify", id="verify") == "active"
    assert await story.result() == "verified"
    assert (await shop.audit()).breaches == []


async def test_an_account_whose_time_is_over_expires_at_once(shop: OwnShop) -> None:
    account = await an_account(shop, hours_old=73)
    [breach] = (await shop.audit()).breaches

    await repair(shop, breach)

    assert await shop.resources.temporal.get_workflow_handle(registration_id(account)).result() == "expired"
    assert await shop.value("SELECT count(*) FROM users WHERE id = :id", id=account) == 0
    assert (await shop.audit()).breaches == []


async def test_somebody_who_wants_to_be_forgotten_is_although_the_workflow_was_ended(shop: OwnShop) -> None:
    guest = Shopper(shop.http, email=f"ada.{a_mark()}@example.com")  # all others have the same address
    product = await a_product(shop.resources.sessions, price="10.00", stock=20)
    order = (await guest.check_out(await guest.a_cart((product.variant_id, 1)))).json()
    asked = UUID((await shop.desk("/erasures", {"order_id": order["id"]}))["id"])
    await runs(shop, erasure_id(asked))
    await ended(shop, erasure_id(asked))

    await healed(
        shop,
        Law.ERASURES_HAVE_A_STORY,
        asked,
        f"somebody wants to be forgotten ({asked}), and the workflow is gone",
    )

    assert await status(shop, erasure_id(asked)) is RUNNING
    await shop.desk_cancel(order)
    await ended(shop, erasure_id(asked))
    await shop.desk("/erasures", {"order_id": order["id"]})  # asking again begins it again as well
    assert await shop.resources.temporal.get_workflow_handle(erasure_id(asked)).result() == "erased"
    assert (await shop.look(order))["email"] == "erased@erased.invalid"


async def test_an_import_whose_workflow_was_ended_is_read_to_its_end(shop: OwnShop) -> None:
    mark = a_mark()
    made = await a_waiting_import(shop.resources.sessions, csv_of(mark, 3).encode())
    workflow_id = catalog_import_id(made, 1)
    request = ImportCatalog(import_id=made)
    await shop.resources.temporal.start_workflow(CatalogImport.run, request, id=workflow_id, task_queue=NOBODY)
    await ended(shop, workflow_id)
    # Whoever begins imports that wait finds that this one was begun.
    await shop.sql("UPDATE catalog_imports SET moved_at = now() WHERE id = :id", id=made)

    await healed(shop, Law.IMPORTS_HAVE_A_STORY, made, f"import {made} is waiting, and its workflow is gone")

    assert await shop.resources.temporal.get_workflow_handle(workflow_id).result() == "completed"
    assert await shop.value("SELECT count(*) FROM products WHERE slug LIKE :mark", mark=f"{mark}-%") == 3
    assert (await shop.audit()).breaches == []


async def test_an_export_whose_workflow_was_ended_is_written_again(shop: OwnShop) -> None:
    made = new_id()
    workflow_id = catalog_export_id(made)
    async with shop.resources.sessions.begin() as session:
        await exports.ask_for(session, made, FileFormat.JSONL, "USD", actor="operator:1")
    request = WriteExport(export_id=made)
    await shop.resources.temporal.start_workflow(CatalogExport.run, request, id=workflow_id, task_queue=NOBODY)
    await ended(shop, workflow_id)

    await healed(shop, Law.EXPORTS_HAVE_A_STORY, made, f"export {made} is waiting, and its workflow is gone")

    await shop.resources.temporal.get_workflow_handle(workflow_id).result()
    assert await shop.value("SELECT status FROM catalog_exports WHERE id = :id", id=made) == "completed"
    assert (await shop.audit()).breaches == []


# --- workflows without a row -----------------------------------------------------------------------------------------


async def a_refund_by_hand(shop: OwnShop) -> UUID:
    """That waits for a person to send the money of a bank transfer back."""
    order = await shop.buy(card={"provider": "manual"})
    await shop.desk(f"/orders/{order['id']}/payment-received", {"reference": "statement 1"})
    made = await shop.desk(f"/orders/{order['id']}/refunds", {"reason": "broken"})
    return UUID(made["id"])


async def an_announced_return(shop: OwnShop, order: Order) -> UUID:
    wish = {"items": [{"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": "too small"}]}
    made = await shop.http.post(f"/v1/orders/{order['id']}/returns", json=wish, headers=shop.operator)
    assert made.status_code == 201, made.text
    return UUID(made.json()["id"])


OVER = {
    "refund": """
        WITH settled AS (UPDATE refunds SET status = 'succeeded', settled_at = now() WHERE id = :refund
                         RETURNING order_id, amount)
        UPDATE payments SET refunded = refunded + settled.amount, refunding = refunding - settled.amount,
               status = 'refunded'
        FROM settled WHERE payments.order_id = settled.order_id
    """,
    "orders": "UPDATE orders SET payment_status = payments.status FROM payments WHERE payments.order_id = orders.id",
    "return": "UPDATE returns SET status = 'rejected', updated_at = now() WHERE id = :return",
    "order": "UPDATE orders SET return_status = 'none', closed_at = now() WHERE id = :order",
    "account": "UPDATE users SET status = 'active', verified_at = now() WHERE id = :account",
}


async def test_workflows_of_what_is_over_are_found_and_ended(shop: OwnShop) -> None:
    refund = await a_refund_by_hand(shop)
    order = await shop.buy()
    await shop.deliver(order)
    made = {
        "refund": refund,
        "return": await an_announced_return(shop, order),
        "order": UUID(order["id"]),
        "account": await an_account(shop, hours_old=1),
    }
    [breach] = (await shop.audit()).breaches
    assert (await repair(shop, breach)).is_healed  # the account has its workflow
    for statement in OVER.values():
        await shop.sql(statement, **{name: of for name, of in made.items() if f":{name}" in statement})

    found = (await shop.audit()).breaches

    assert {(breach.law, breach.repair) for breach in found} == {(Law.STORIES_HAVE_A_ROW, Repair.END_STORY)}
    assert {breach.subject: breach.words for breach in found} == {
        refund_id(refund): f"a workflow runs for refund {refund}, which is succeeded",
        return_id(made["return"]): f"a workflow runs for return {made['return']}, which is rejected",
        aftercare_id(made["order"]): f"a workflow runs for order {made['order']}, which is closed",
        registration_id(made["account"]): f"a workflow runs for account {made['account']}, which is active",
    }
    for breach in found:
        assert (await repair(shop, breach)).is_healed
        assert await status(shop, breach.subject) is TERMINATED
    assert (await shop.audit()).breaches == []


async def test_a_workflow_of_a_payment_that_is_over_is_ended_and_its_checkout_undone(shop: OwnShop) -> None:
    product = await a_product(shop.resources.sessions, price="10.00", stock=20)
    order = await shop.buy(card="pm_card_threeDSecure2Required", product=product)
    payment: UUID = await shop.value("SELECT id FROM payments WHERE order_id = :id", id=UUID(order["id"]))
    await runs(shop, payment_id(payment))
    for table, column, key in (("payments", "status", "order_id"), ("orders", "payment_status", "id")):
        await shop.sql(
            f"UPDATE {table} SET {column} = 'failed', updated_at = now() WHERE {key} = :id",  # noqa: S608 (constant text)
            id=UUID(order["id"]),
        )

    [breach] = (await shop.audit()).breaches

    assert (breach.law, breach.subject, breach.repair) == (
        Law.STORIES_HAVE_A_ROW,
        payment_id(payment),
        Repair.END_STORY,
    )
    assert breach.words == f"a workflow runs for payment {payment}, which is failed"
    assert (await repair(shop, breach)).is_healed
    assert await status(shop, payment_id(payment)) is TERMINATED
    shown = await eventually(lambda: cancelled(shop, order))
    assert (shown["payment"]["status"], shown["concerns"]) == ("voided", [])
    assert await stock_of(shop.resources.sessions, product.variant_id) == StockLevel(on_hand=20, reserved=0)
    assert await moved(shop.sandbox, order) == []
    assert (await shop.audit()).breaches == []


async def cancelled(shop: OwnShop, order: Order) -> Order | None:
    shown = await shop.look(order)
    return shown if shown["status"] == "cancelled" else None


@pytest.mark.matrix("checkout: somebody ends its payment's workflow while the customer is at the bank")
async def test_an_order_whose_payments_workflow_was_ended_is_undone_and_can_be_bought_again(shop: OwnShop) -> None:
    product = await a_product(shop.resources.sessions, price="10.00", stock=20)
    shopper = Shopper(shop.http)
    cart = await shopper.a_cart((product.variant_id, 2))
    order = (await shopper.check_out(cart, card="pm_card_threeDSecure2Required")).json()
    payment: UUID = await shop.value("SELECT id FROM payments WHERE order_id = :id", id=UUID(order["id"]))
    await runs(shop, payment_id(payment))

    await ended(shop, payment_id(payment))

    shown = await eventually(lambda: cancelled(shop, order))
    assert shown["payment"]["status"] == "voided"
    assert await stock_of(shop.resources.sessions, product.variant_id) == StockLevel(on_hand=20, reserved=0)
    assert await moved(shop.sandbox, order) == []
    assert (await shop.audit()).breaches == []
    again = await shopper.check_out(cart)
    assert (again.status_code, again.json()["status"]) == (201, "confirmed"), again.text
    assert await moved(shop.sandbox, again.json()) == [("authorize", 2499)]
    assert (await shop.audit()).breaches == []


async def test_a_workflow_of_a_row_that_is_gone_is_found_and_ended(shop: OwnShop) -> None:
    account = await an_account(shop, hours_old=1)
    [breach] = (await shop.audit()).breaches
    assert (await repair(shop, breach)).is_healed
    await shop.sql("DELETE FROM users WHERE id = :id", id=account)

    [breach] = (await shop.audit()).breaches

    assert breach.words == f"a workflow runs for account {account}, which there is not"
    assert (await repair(shop, breach)).is_healed
    assert await status(shop, registration_id(account)) is TERMINATED


def queries() -> Iterable[str]:
    yield from (law.query for law in STORY_LAWS.values())
    yield from (kind.rows for kind in KINDS.values())


@pytest.mark.parametrize("query", [*queries()])
async def test_the_tables_know_what_every_law_asks_them(shop: OwnShop, query: str) -> None:
    async with shop.resources.sessions() as session:
        values = {"patience": 0} if ":patience" in query else {}
        wanted = f"SELECT * FROM ({query}) AS known LIMIT 1"  # noqa: S608 (constant text)
        found = await session.execute(text(wanted), values)
        assert {"id", "order_id"} <= set(found.keys())
