"""Workflows that somebody ended are begun again where the tables say that their orders, refunds and returns stand."""

from typing import Any
from uuid import UUID

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from db import refunds
from db.base import new_id
from db.refunds import RefundWish
from domain.audit import Breach, Law, Repair
from domain.money import Money
from tests.operations.test_audit import repair
from tests.support.ledger import moved
from tests.support.own_shop import LABEL, OwnShop
from tests.support.waiting import eventually
from workflows.names import MAILBOX_ID, order_id, refund_id, return_id
from workflows.refund import Refund

Order = dict[str, Any]


async def resumed(shop: OwnShop, order: Order, *, status: str) -> None:
    """The audit names the order, and its repair begins it again."""
    [breach] = (await shop.audit()).breaches
    assert (breach.law, breach.subject) == (Law.ORDERS_HAVE_A_STORY, order["id"])
    assert breach.words == f"order {order['number']} is {status}, and its workflow is gone"
    assert (await repair(shop, breach)).is_healed
    assert (await shop.audit()).breaches == []


@pytest.mark.matrix("ship: somebody has ended the order's workflow")
async def test_a_confirmed_order_whose_workflow_was_ended_can_be_shipped_after_all(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.kill_story(order)

    await resumed(shop, order, status="confirmed")

    assert await shop.story(order) == ("Fulfillment", WorkflowExecutionStatus.RUNNING)
    await shop.deliver(order)
    assert (await shop.look(order))["status"] == "delivered"
    assert await moved(shop.sandbox, order) == [("authorize", 2499), ("capture", 2499)]
    assert (await shop.audit()).breaches == []


@pytest.mark.matrix("cancel: somebody has ended the order's workflow")
async def test_a_confirmed_order_whose_workflow_was_ended_can_be_cancelled_after_all(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.pack(order)
    await shop.kill_story(order)

    await resumed(shop, order, status="confirmed")

    await shop.desk_cancel(order)
    assert await moved(shop.sandbox, order) == [("authorize", 2499), ("void", 2499)]
    assert (await shop.audit()).breaches == []


async def test_an_order_of_which_a_parcel_has_left_goes_on_with_the_others(shop: OwnShop) -> None:
    order = await shop.buy(3)
    line = order["items"][0]["id"]
    packed = {"items": [{"order_item_id": line, "quantity": 1}]}
    first = (await shop.desk(f"/orders/{order['id']}/fulfillments", packed))["id"]
    await shop.desk(f"/fulfillments/{first}/ship", LABEL)
    await shop.kill_story(order)

    await resumed(shop, order, status="confirmed")

    refused = await shop.http.post(f"/v1/orders/{order['id']}/cancel", json={"reason": "no"}, headers=shop.operator)
    assert (refused.status_code, refused.json()["code"]) == (409, "order_not_cancellable")
    await shop.deliver(order)
    await shop.desk(f"/fulfillments/{first}/deliver")
    assert (await shop.look(order))["status"] == "delivered"
    assert (await shop.audit()).breaches == []


async def test_an_order_on_its_way_whose_workflow_was_ended_arrives(shop: OwnShop) -> None:
    order = await shop.buy()
    parcel = await shop.ship(order)
    await shop.kill_story(order)

    await resumed(shop, order, status="shipped")

    await shop.desk(f"/fulfillments/{parcel}/deliver")
    assert (await shop.look(order))["status"] == "delivered"


@pytest.mark.matrix("checkout: somebody ends its workflow while the customer is at the bank")
async def test_a_checkout_that_was_ended_at_the_bank_is_confirmed_once_the_customer_has_paid(shop: OwnShop) -> None:
    order = await shop.buy(card="pm_card_threeDSecure2Required")
    await shop.kill_story(order)
    await shop.sandbox.post(f"{order['payment']['next_action']['redirect_url']}/complete")

    await resumed_or_confirmed(shop, order)

    told = await shop.timeline(order)
    assert told[:4] == ["order.placed", "order.payment_requires_action", "order.needs_attention", "order.repaired"]
    # The repair, once the story runs, takes its call for a person back, and the story meanwhile asks the provider and
    # confirms: two workflows of which neither waits for the other, so that either can be first.
    assert sorted(told[4:]) == ["order.confirmed", "order.needs_no_attention"]
    assert await moved(shop.sandbox, order) == [("authorize", 2499)]
    assert (await shop.audit()).breaches == []


async def resumed_or_confirmed(shop: OwnShop, order: Order) -> None:
    [breach] = (await shop.audit()).breaches
    assert (breach.law, breach.subject) == (Law.ORDERS_HAVE_A_STORY, order["id"])
    assert (await repair(shop, breach)).is_healed

    async def is_confirmed() -> bool:
        return bool((await shop.look(order))["status"] == "confirmed")

    await eventually(is_confirmed)
    await eventually(lambda: needs_nobody(shop, order))


async def needs_nobody(shop: OwnShop, order: Order) -> bool:
    return not (await shop.look(order))["concerns"]


@pytest.mark.matrix("checkout: somebody ends its workflow while the customer is at the bank")
async def test_a_checkout_that_was_ended_at_the_bank_waits_for_its_customer_again(shop: OwnShop) -> None:
    order = await shop.buy(card="pm_card_threeDSecure2Required")
    await shop.kill_story(order)

    await resumed(shop, order, status="pending")

    await shop.sandbox.post(f"{order['payment']['next_action']['redirect_url']}/fail")

    async def is_cancelled() -> bool:
        return bool((await shop.look(order))["status"] == "cancelled")

    await eventually(is_cancelled)
    assert await moved(shop.sandbox, order) == []
    assert (await shop.audit()).breaches == []


@pytest.mark.matrix("refund: somebody ends its workflow before it paid")
async def test_a_refund_whose_workflow_was_ended_before_it_paid_is_paid_once(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.ship(order)
    async with shop.resources.sessions.begin() as session:
        wish = RefundWish(
            refund_id=new_id(), order_id=UUID(order["id"]), reason="sorry", actor="operator:1", amount=Money(100, "USD")
        )
        refund = await refunds.request(session, wish)
        request = await refunds.to_pay_back(session, refund)
    story = await shop.resources.temporal.start_workflow(
        Refund.run, request, id=refund_id(wish.refund_id), task_queue="nobody"
    )
    await story.terminate("an operator's mistake")

    [breach] = (await shop.audit()).breaches

    assert (breach.law, breach.subject) == (Law.REFUNDS_HAVE_A_STORY, str(wish.refund_id))
    assert (await repair(shop, breach)).is_healed
    shown = await eventually(lambda: refunded(shop, order))
    assert shown["payment"]["status"] == "partially_refunded"
    assert await moved(shop.sandbox, order) == [("authorize", 2499), ("capture", 2499), ("refund", 100)]
    assert (await shop.audit()).breaches == []


async def refunded(shop: OwnShop, order: Order) -> Order | None:
    shown = await shop.look(order)
    return shown if shown["payment"]["status"] == "partially_refunded" else None


@pytest.mark.matrix("return: somebody ends its workflow")
async def test_a_return_whose_workflow_was_ended_goes_on_where_it_stood(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.deliver(order)
    wish = {"items": [{"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": "too small"}]}
    made = (await shop.http.post(f"/v1/orders/{order['id']}/returns", json=wish, headers=shop.operator)).json()
    await shop.desk(f"/returns/{made['id']}/approve")
    await shop.resources.temporal.get_workflow_handle(return_id(UUID(made["id"]))).terminate()

    [breach] = (await shop.audit()).breaches

    assert (breach.law, breach.subject) == (Law.RETURNS_HAVE_A_STORY, made["id"])
    assert (await repair(shop, breach)).is_healed
    received = await shop.desk(f"/returns/{made['id']}/receive")
    assert received["status"] == "refunded"
    assert (await shop.audit()).breaches == []


@pytest.mark.matrix("return: somebody ends its workflow")
async def test_a_return_that_waits_for_its_refused_refund_waits_again(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.deliver(order)
    wish = {"items": [{"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": "too small"}]}
    made = (await shop.http.post(f"/v1/orders/{order['id']}/returns", json=wish, headers=shop.operator)).json()
    await shop.desk(f"/returns/{made['id']}/approve")
    refusal = {"operation": "refund", "fault": "refusal"}
    await shop.sandbox.put("/faults", json={"payments": {"next": [refusal]}})
    await shop.desk(f"/returns/{made['id']}/receive", status=409)
    await shop.resources.temporal.get_workflow_handle(return_id(UUID(made["id"]))).terminate()

    [breach] = (await shop.audit()).breaches

    assert (breach.law, breach.subject) == (Law.RETURNS_HAVE_A_STORY, made["id"])
    assert (await repair(shop, breach)).is_healed
    assert (await shop.look(order))["returns"][0]["status"] == "received"
    received = await shop.desk(f"/returns/{made['id']}/receive")
    assert received["status"] == "refunded"
    assert await moved(shop.sandbox, order) == [("authorize", 2499), ("capture", 2499), ("refund", 1000)]
    assert (await shop.look(order))["needs_attention"] is False
    assert (await shop.audit()).breaches == []


async def test_a_workflow_that_outlived_its_order_is_ended(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.sql("UPDATE orders SET status = 'delivered', updated_at = now() WHERE id = :id", id=UUID(order["id"]))

    found = (await shop.audit()).breaches

    [breach] = [breach for breach in found if breach.law is Law.STORIES_HAVE_AN_ORDER]
    assert (breach.subject, breach.repair) == (order_id(UUID(order["id"])), Repair.END_STORY)
    assert (await repair(shop, breach)).is_healed
    assert await shop.story(order) == ("Checkout", WorkflowExecutionStatus.TERMINATED)
    await shop.sql("UPDATE orders SET status = 'confirmed' WHERE id = :id", id=UUID(order["id"]))
    await resumed(shop, order, status="confirmed")


async def test_a_mailbox_that_was_ended_is_begun_again(shop: OwnShop) -> None:
    mailbox: WorkflowHandle[Any, Any] = shop.resources.temporal.get_workflow_handle(MAILBOX_ID)
    await mailbox.terminate()

    breach = Breach(law=Law.LETTERS_ARE_CARRIED, subject="mailbox", words="letters wait", repair=Repair.CARRY_LETTERS)
    assert (await repair(shop, breach)).is_healed

    assert (await mailbox.describe()).status is WorkflowExecutionStatus.RUNNING
