"""Money moves behind the shop's back: the nightly reconciliation says which, of which order, and by how much."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import ScheduleHandle

from domain.audit import AuditReport, Breach, Law, Repair
from tests.operations.test_audit import repair
from tests.support.ledger import moved
from tests.support.own_shop import AT_ONCE, OwnShop
from tests.support.waiting import eventually
from workers import operations, schedules
from workflows.audit import Reconciliation
from workflows.names import AUDIT_ID, CART_TIDYING_ID, CATALOG_TIDYING_ID, RECONCILIATION_ID, Queue

Order = dict[str, Any]
CARD = {"payment_method": "pm_card_visa", "currency": "usd", "confirm": "true", "return_url": "https://x.example"}


@pytest.fixture(autouse=True)
async def late_webhooks(shop: OwnShop) -> AsyncIterator[None]:
    """The provider is silent for long: its webhooks would put some of this right before anybody has looked."""
    await shop.sandbox.put("/faults", json={"payments": {"webhook_delay_ms": 600_000}})
    yield
    await shop.sandbox.delete("/faults")


async def reconciled(shop: OwnShop) -> AuditReport:
    return await shop.resources.temporal.execute_workflow(
        Reconciliation.run, AT_ONCE, id=f"reconciliation-{uuid4()}", task_queue=Queue.OPERATIONS
    )


async def the_breach(shop: OwnShop, law: Law, order: Order | None = None) -> Breach:
    """What the reconciliation finds, and that a person is called for an order that it is about."""
    [breach] = (await reconciled(shop)).breaches
    assert breach.law is law
    if order is not None:
        assert breach.order_id == UUID(order["id"])
        [concern] = (await shop.look(order))["concerns"]
        assert (concern["concern"], concern["detail"]) == ("payment_mismatch", breach.words)
    return breach


async def test_an_authorisation_that_was_voided_elsewhere_is_noticed(shop: OwnShop) -> None:
    order = await shop.buy()
    intent = order["payment"]["provider_reference"]
    await shop.at_the_provider(f"/payment_intents/{intent}/cancel")

    breach = await the_breach(shop, Law.AMOUNTS_AGREE, order)

    assert breach.words == (
        f"the provider holds USD 0.00, took USD 0.00 and gave USD 0.00 back for order {order['number']} ({intent}); "
        "our books say USD 24.99, USD 0.00 and USD 0.00"
    )
    assert breach.repair is None
    await shop.desk_cancel(order)
    assert (await reconciled(shop)).breaches == []
    assert (await shop.look(order))["concerns"] == []


async def test_a_refund_that_was_made_elsewhere_is_noticed(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.ship(order)
    intent = order["payment"]["provider_reference"]
    await shop.at_the_provider("/refunds", payment_intent=intent, amount="300")

    breach = await the_breach(shop, Law.AMOUNTS_AGREE, order)

    assert breach.words.endswith("our books say USD 0.00, USD 24.99 and USD 0.00")
    assert "took USD 24.99 and gave USD 3.00 back" in breach.words
    await shop.sql(
        "INSERT INTO refunds (id, order_id, status, amount, reason, actor, settled_at) "
        "VALUES (gen_random_uuid(), :id, 'succeeded', 300, 'made elsewhere', 'operator:1', now())",
        id=UUID(order["id"]),
    )
    await shop.sql(
        "UPDATE payments SET refunded = 300, status = 'partially_refunded' WHERE order_id = :id", id=UUID(order["id"])
    )
    await shop.sql("UPDATE orders SET payment_status = 'partially_refunded' WHERE id = :id", id=UUID(order["id"]))
    assert (await reconciled(shop)).breaches == []


async def test_money_of_nobody_is_noticed_and_left_to_a_person(shop: OwnShop) -> None:
    intent = await shop.at_the_provider("/payment_intents", amount="700", **CARD)

    breach = await the_breach(shop, Law.MONEY_HAS_AN_ORDER)

    assert (breach.subject, breach.order_id, breach.repair) == (intent["id"], None, None)
    assert breach.words == (
        f"the provider holds USD 0.00 and keeps USD 7.00 ({intent['id']}), which belongs to no order"
    )
    await shop.at_the_provider("/refunds", payment_intent=intent["id"])
    assert (await reconciled(shop)).breaches == []


async def test_a_payment_that_was_taken_twice_is_given_back_once(shop: OwnShop) -> None:
    order = await shop.buy()
    ours = await shop.value("SELECT id::text FROM payments WHERE order_id = :id", id=UUID(order["id"]))
    second = await shop.at_the_provider("/payment_intents", amount="2499", **CARD, **{"metadata[payment_id]": ours})

    breach = await the_breach(shop, Law.MONEY_IS_TAKEN_ONCE, order)

    assert (breach.subject, breach.repair) == (second["id"], Repair.GIVE_STRAY_MONEY_BACK)
    assert (await repair(shop, breach)).is_healed
    assert (await reconciled(shop)).breaches == []
    stray = {"payment": {"provider_reference": second["id"]}}
    assert await moved(shop.sandbox, stray) == [("authorize", 2499), ("capture", 2499), ("refund", 2499)]
    assert await moved(shop.sandbox, order) == [("authorize", 2499)]


async def test_money_that_came_after_its_order_was_cancelled_is_given_back(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.desk_cancel(order)
    ours = await shop.value("SELECT id::text FROM payments WHERE order_id = :id", id=UUID(order["id"]))
    await shop.sql("UPDATE payments SET provider_reference = NULL WHERE id = :id", id=UUID(ours))
    late = await shop.at_the_provider(
        "/payment_intents", amount="2499", capture_method="manual", **CARD, **{"metadata[payment_id]": ours}
    )

    breach = await the_breach(shop, Law.MONEY_OF_CANCELLED_ORDERS_IS_BACK, order)

    assert breach.subject == late["id"]
    assert (await repair(shop, breach)).is_healed
    assert (await reconciled(shop)).breaches == []
    stray = {"payment": {"provider_reference": late["id"]}}
    assert await moved(shop.sandbox, stray) == [("authorize", 2499), ("void", 2499)]


async def test_money_that_the_provider_does_not_know_is_noticed(shop: OwnShop) -> None:
    order = await shop.buy()
    intent = order["payment"]["provider_reference"]
    await shop.sql(
        "UPDATE payments SET provider_reference = 'pi_nobody_knows' WHERE order_id = :id", id=UUID(order["id"])
    )

    found = (await reconciled(shop)).breaches

    assert [(breach.law, breach.subject) for breach in found] == [
        (Law.MONEY_IS_TAKEN_ONCE, intent),
        (Law.MONEY_IS_WHERE_WE_BELIEVE, "pi_nobody_knows"),
    ]
    await shop.sql(
        "UPDATE payments SET provider_reference = :intent WHERE order_id = :id", intent=intent, id=UUID(order["id"])
    )
    assert (await reconciled(shop)).breaches == []


# --- by the clock ----------------------------------------------------------------------------------------------------


async def test_the_schedules_are_there_once_however_many_workers_start_and_stay_as_people_left_them(
    shop: OwnShop,
) -> None:
    client = shop.resources.temporal
    duty = operations.build(shop.resources)
    audit: ScheduleHandle = client.get_schedule_handle(AUDIT_ID)
    await audit.unpause(note="by hand")

    for _ in range(2):
        for scheduled in duty.scheduled:
            await schedules.see_to(client, Queue.OPERATIONS, scheduled, is_paused=True)

    there = sorted([schedule.id async for schedule in await client.list_schedules()])
    # The workers of the catalogue bring one, too.
    assert there == [AUDIT_ID, CART_TIDYING_ID, CATALOG_TIDYING_ID, RECONCILIATION_ID]
    described = (await audit.describe()).schedule
    assert (described.state.paused, described.state.note) == (False, "by hand")
    assert described.policy.overlap.name == "SKIP"
    assert described.policy.catchup_window == timedelta(minutes=10)
    await audit.pause()


@pytest.mark.parametrize("schedule", [AUDIT_ID, RECONCILIATION_ID])
async def test_a_schedule_that_is_run_now_finds_what_is_wrong(shop: OwnShop, schedule: str) -> None:
    order = await shop.buy()
    await shop.at_the_provider(f"/payment_intents/{order['payment']['provider_reference']}/cancel")
    [wanted] = [wanted for wanted in operations.build(shop.resources).scheduled if wanted.id == schedule]
    impatient = replace(wanted, request=AT_ONCE)
    await schedules.see_to(shop.resources.temporal, Queue.OPERATIONS, impatient, is_paused=True)

    await shop.resources.temporal.get_schedule_handle(schedule).trigger()

    async def is_noticed() -> bool:
        return bool((await shop.look(order))["concerns"])

    await eventually(is_noticed)
    assert (await shop.look(order))["concerns"][0]["concern"] == "payment_mismatch"
    await shop.desk_cancel(order)
    await eventually(lambda: is_at_rest(shop, schedule))  # whoever comes while one runs is skipped
    await shop.resources.temporal.get_schedule_handle(schedule).trigger()
    await eventually(lambda: is_healed(shop))


async def is_at_rest(shop: OwnShop, schedule: str) -> bool:
    found = await shop.resources.temporal.get_schedule_handle(schedule).describe()
    return found.info.num_actions > 0 and not found.info.running_actions


async def is_healed(shop: OwnShop) -> bool:
    return bool(await shop.value("SELECT count(*) = 0 FROM breaches WHERE healed_at IS NULL"))
