"""One fault of each kind is planted in a healthy shop: the audit finds exactly that, and its repair makes it whole."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from db.base import new_id
from db.laws import TABLE_LAWS, breaches_of
from domain.audit import Breach, Law, RepairBreach, RepairOutcome
from tests.support.catalog import a_product
from tests.support.credit import a_gift_card, balance_of
from tests.support.own_shop import OwnShop
from tests.support.shopper import Shopper
from tests.support.superuser import behind_its_back
from tests.support.waiting import eventually
from workflows.audit import Repair as RepairStory
from workflows.names import Queue, repair_id

Order = dict[str, Any]


async def repair(shop: OwnShop, breach: Breach) -> RepairOutcome:
    return await shop.resources.temporal.execute_workflow(
        RepairStory.run,
        RepairBreach(breach=breach, actor="operator:terminal", note_id=new_id()),
        id=repair_id(breach.law, breach.subject),
        task_queue=Queue.OPERATIONS,
    )


async def test_a_shop_in_which_everything_happened_is_healthy(shop: OwnShop) -> None:
    await shop.buy()
    delivered = await shop.buy()
    await shop.deliver(delivered)
    cancelled = await shop.buy()
    await shop.desk_cancel(cancelled)
    lost = await shop.buy()
    parcel = await shop.ship(lost)
    await shop.desk(f"/fulfillments/{parcel}/lost", {"remedy": "reship"})
    refunded = await shop.buy()
    parcel = await shop.ship(refunded)
    await shop.desk(f"/fulfillments/{parcel}/returned-to-sender", {"remedy": "refund"})
    await shop.buy(card="pm_card_threeDSecure2Required")
    line = delivered["items"][0]["id"]
    wish = {"items": [{"order_item_id": line, "quantity": 1, "reason": "too small"}]}
    made = (await shop.http.post(f"/v1/orders/{delivered['id']}/returns", json=wish, headers=shop.operator)).json()
    for move in ("approve", "receive"):
        await shop.desk(f"/returns/{made['id']}/{move}")

    assert (await shop.audit()).breaches == []


# --- what SQL can break ----------------------------------------------------------------------------------------------

REPAIRED: dict[Law, tuple[str, str]] = {
    Law.STOCK_IS_ITS_MOVEMENTS: ("confirmed", "UPDATE stock SET on_hand = on_hand + 3 WHERE variant_id = :variant"),
    Law.RESERVED_IS_HELD: ("confirmed", "UPDATE stock SET reserved = reserved + 1 WHERE variant_id = :variant"),
    Law.CONFIRMED_HOLDS_LAST: ("confirmed", "UPDATE stock_holds SET expires_at = now() WHERE order_id = :order"),
    Law.REFUNDED_ADDS_UP: ("shipped", "UPDATE payments SET refunding = 5 WHERE order_id = :order"),
    Law.STATUSES_AGREE: ("confirmed", "UPDATE orders SET payment_status = 'captured' WHERE id = :order"),
    Law.NOTHING_IS_HELD_IN_VAIN: (
        "shipped",
        "WITH back AS (UPDATE orders SET payment_status = 'authorized' WHERE id = :order RETURNING id) "
        "UPDATE payments SET status = 'authorized' FROM back WHERE payments.order_id = back.id",
    ),
    Law.TIMELINES_ARE_WHOLE: ("shipped", "DELETE FROM order_events WHERE order_id = :order AND sequence = 3"),
}


@pytest.mark.parametrize("law", REPAIRED)
async def test_a_planted_fault_is_found_named_and_repaired(shop: OwnShop, law: Law) -> None:
    state, fault = REPAIRED[law]
    order = await shop.buy()
    if state == "shipped":
        await shop.ship(order)
    await shop.sql(fault, **ids(fault, order))

    report = await shop.audit()

    [breach] = report.breaches
    assert breach.law is law
    assert breach.subject.partition("/")[0] in (order["id"], order["items"][0]["variant_id"])
    assert await shop.value("SELECT words FROM breaches WHERE healed_at IS NULL") == breach.words
    if breach.order_id:
        [concern] = (await shop.look(order))["concerns"]
        assert (concern["concern"], concern["detail"]) == ("books_broken", breach.words)
    assert (await repair(shop, breach)).is_healed
    assert (await shop.audit()).breaches == []
    assert (await shop.look(order))["concerns"] == []
    entry = (await shop.sql("SELECT actor, action, note FROM audit_log ORDER BY id DESC LIMIT 1")).one()
    assert tuple(entry) == ("operator:terminal", f"repair:{breach.repair}", f"{law}: {breach.words}")


def ids(statement: str, order: Order) -> dict[str, UUID]:
    facts = {"order": order["id"], "variant": order["items"][0]["variant_id"]}
    return {name: UUID(value) for name, value in facts.items() if f":{name}" in statement}


LEFT_TO_PEOPLE: dict[Law, tuple[str, str]] = {
    Law.SHIPPED_GOODS_HAVE_LEFT: (
        "shipped",
        "UPDATE stock_holds SET shipped = shipped - 1, quantity = quantity - 1 WHERE order_id = :order",
    ),
    Law.RETURNED_GOODS_CAME_BACK: (
        "shipped",
        "INSERT INTO stock_movements (variant_id, on_hand_change, reserved_change, reason, order_id) VALUES "
        "(:variant, 1, 0, 'returned', :order), (:variant, -1, 0, 'lost', NULL)",
    ),
    Law.HOLDS_END_IN_TIME: (
        "pending",
        "UPDATE stock_holds SET expires_at = now() - interval '1 hour' WHERE order_id = :order",
    ),
    Law.PARCELS_CARRY_WHAT_WAS_ORDERED: (
        "packed",
        "UPDATE fulfillment_items SET quantity = 3 FROM fulfillments "
        "WHERE fulfillments.id = fulfillment_id AND order_id = :order",
    ),
    Law.CAPTURED_IS_CHARGED: ("shipped", "UPDATE fulfillments SET charge = charge - 1 WHERE order_id = :order"),
    Law.CANCELLED_ORDERS_KEEP_NOTHING: (
        "cancelled",
        "UPDATE payments SET captured = 7 WHERE order_id = :order",
    ),
    Law.ORDERS_COST_WHAT_THEIR_LINES_SAY: (
        "confirmed",
        "UPDATE order_lines SET discount = discount + 1 WHERE order_id = :order",
    ),
    Law.PAYMENTS_FIT_THEIR_ORDERS: ("confirmed", "UPDATE payments SET amount = 1 WHERE order_id = :order"),
    Law.CREDIT_PAYS_WHAT_ORDERS_SAY: (
        "confirmed",
        "WITH paid AS (UPDATE orders SET credit = 1 WHERE id = :order) "
        "UPDATE payments SET amount = amount - 1 WHERE order_id = :order",
    ),
    Law.ORDERS_ARE_PAID_IN_FULL: (
        "shipped",
        "WITH card AS (INSERT INTO credit_accounts (id, kind, currency, balance, code_hash, last4, initial_amount) "
        "VALUES (gen_random_uuid(), 'gift_card', 'USD', 0, 'x', '0000', 1) RETURNING id), "
        "moved AS (INSERT INTO credit_entries (id, account_id, amount, reason, key, order_id, actor) "
        "SELECT gen_random_uuid(), card.id, amount, reason, reason, order_id, 'nobody' FROM card, "
        "(VALUES (1, 'issued', NULL), (-1, 'spent', CAST(:order AS uuid))) AS moves (amount, reason, order_id)), "
        "paid AS (UPDATE orders SET credit = 1 WHERE id = :order) "
        "UPDATE payments SET amount = amount - 1 WHERE order_id = :order",
    ),
    Law.TIMELINES_TELL_THE_STATUS: (
        "confirmed",
        "UPDATE order_events SET type = 'order.noted' WHERE order_id = :order AND type = 'order.confirmed'",
    ),
    Law.CHECKOUTS_ARE_DECIDED: (
        "confirmed",
        "WITH cart AS (INSERT INTO carts (id, currency) VALUES (gen_random_uuid(), 'USD') RETURNING id) "
        "INSERT INTO checkouts (order_id, order_number, payment_id, cart_id, payment_method, created_at) "
        "SELECT gen_random_uuid(), 1, gen_random_uuid(), id, 'pm_card_visa', now() - interval '1 hour' FROM cart",
    ),
    Law.LETTERS_ARE_CARRIED: (
        "confirmed",
        "INSERT INTO letters (key, occasion, about, asked_at, next_try_at) VALUES ('order_confirmed:lost', "
        "'order_confirmed', :order, now() - interval '2 hours', now() - interval '1 hour')",
    ),
    Law.EVENTS_ARE_PUBLISHED: (
        "confirmed",
        "UPDATE outbox SET created_at = now() - interval '1 hour', published_at = NULL, position = NULL",
    ),
    Law.WEBHOOKS_ARE_HANDLED: (
        "confirmed",
        "INSERT INTO webhook_events (provider, event_id, type, payload, listener, received_at) "
        "VALUES ('stripe', 'evt_lost', 'charge.updated', '{}', 'order', now() - interval '6 minutes')",
    ),
    Law.ENDPOINTS_TAKE_WHAT_THEY_ARE_SENT: (
        "confirmed",
        "INSERT INTO webhook_endpoints (id, url, status, paused_at, pause_reason) "
        "VALUES (gen_random_uuid(), 'https://dead.example', 'paused', now(), 'gone')",
    ),
}


@pytest.mark.parametrize("law", LEFT_TO_PEOPLE)
async def test_of_all_laws_a_fault_breaks_its_own(shop: OwnShop, law: Law) -> None:
    state, fault = LEFT_TO_PEOPLE[law]
    order = await shop.buy(card="pm_card_threeDSecure2Required" if state == "pending" else "pm_card_visa")
    match state:
        case "packed":
            await shop.pack(order)
        case "shipped":
            await shop.ship(order)
        case "cancelled":
            await shop.desk_cancel(order)
    async with behind_its_back(shop.resources.settings) as session:
        await session.execute(text(fault), ids(fault, order))
        found = [breach for each in TABLE_LAWS for breach in await breaches_of(session, each, patience_seconds=0)]
        await session.rollback()

    assert [breach.law for breach in found] == [law]


async def test_a_shop_in_which_credit_paid_is_healthy(shop: OwnShop) -> None:
    delivered = await buy_with_a_card(shop, "15.00")
    await shop.deliver(delivered)
    line = delivered["items"][0]["id"]
    wish = {"items": [{"order_item_id": line, "quantity": 2, "reason": "too small"}]}
    made = (await shop.http.post(f"/v1/orders/{delivered['id']}/returns", json=wish, headers=shop.operator)).json()
    for move in ("approve", "receive"):
        await shop.desk(f"/returns/{made['id']}/{move}")
    free = await buy_with_a_card(shop, "50.00")
    await shop.deliver(free)
    await shop.desk(f"/orders/{free['id']}/refunds", {"amount": usd("3.00"), "reason": "late"})
    cancelled = await buy_with_a_card(shop, "15.00")
    await shop.desk_cancel(cancelled)
    fewer = await buy_with_a_card(shop, "15.00")
    units = {"reason": "one is enough", "items": [{"order_item_id": fewer["items"][0]["id"], "quantity": 1}]}
    await shop.http.post(f"/v1/orders/{fewer['id']}/cancel", json=units, headers=shop.operator)
    lost = await buy_with_a_card(shop, "15.00")
    parcel = await shop.ship(lost)
    await shop.desk(f"/fulfillments/{parcel}/lost", {"remedy": "refund"})
    await eventually(lambda: is_refunded(shop, lost))

    assert [(await left_on_the_card_of(shop, order)) for order in (delivered, free, cancelled, fewer, lost)] == [
        1001,  # 20.00 came back, of which 9.99 had been taken from the card with which the rest was paid
        5000 - 2499 + 300,
        1500,
        1,
        1500,
    ]
    assert [(await shop.look(order))["payment"]["refunded"] for order in (delivered, free, lost)] == [
        usd("9.99"),
        usd("0.00"),
        usd("9.99"),
    ]
    assert (await shop.audit()).breaches == []


async def test_a_balance_that_is_not_what_moved_it_is_counted_anew(shop: OwnShop) -> None:
    order = await buy_with_a_card(shop, "15.00")
    await shop.sql("UPDATE credit_accounts SET balance = 700 WHERE id = :id", id=UUID(order["gift_cards"][0]["id"]))

    [breach] = (await shop.audit()).breaches

    assert (breach.law, breach.words) == (
        Law.CREDIT_IS_ITS_ENTRIES,
        "a gift_card has USD 7.00, but its entries add up to USD 0.00",
    )
    assert (await repair(shop, breach)).is_healed
    assert await left_on_the_card_of(shop, order) == 0
    assert (await shop.audit()).breaches == []


async def test_credit_that_a_cancelled_order_has_kept_goes_back(shop: OwnShop) -> None:
    order = await buy_with_a_card(shop, "15.00")
    await shop.desk_cancel(order)
    await shop.sql(
        "DELETE FROM credit_entries WHERE order_id = :order AND reason = 'given_back'", order=UUID(order["id"])
    )
    await shop.sql("UPDATE credit_accounts SET balance = 0 WHERE id = :id", id=UUID(order["gift_cards"][0]["id"]))

    [breach] = (await shop.audit()).breaches

    assert breach.law is Law.CANCELLED_ORDERS_KEEP_NO_CREDIT
    assert (await repair(shop, breach)).is_healed
    assert await left_on_the_card_of(shop, order) == 1500
    assert (await shop.audit()).breaches == []


async def is_refunded(shop: OwnShop, order: Order) -> bool:
    return bool((await shop.look(order))["payment"]["status"] == "refunded")


async def buy_with_a_card(shop: OwnShop, worth: str) -> Order:
    """Two units for 24.99 with their shipping, by a new gift card and, for the rest, a payment card."""
    _, code = await a_gift_card(shop.resources.sessions, worth)
    product = await a_product(shop.resources.sessions, price="10.00", stock=20)
    shopper = Shopper(shop.http)
    cart = await shopper.a_cart((product.variant_id, 2))
    entered = await shopper.send("POST", f"/v1/carts/{cart}/gift-cards", json={"code": code})
    assert entered.status_code == 200, entered.text
    told = await shopper.check_out(cart)
    assert told.status_code == 201, told.text
    order: Order = told.json()
    return order


async def left_on_the_card_of(shop: OwnShop, order: Order) -> int:
    balance, _ = await balance_of(shop.resources.sessions, UUID(order["gift_cards"][0]["id"]))
    return balance


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


async def test_goods_that_an_order_lacks_are_held_again(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.sql("DELETE FROM stock_holds WHERE order_id = :order", order=UUID(order["id"]))

    report = await shop.audit()

    assert [breach.law for breach in report.breaches] == [
        Law.ORDERS_HOLD_WHAT_THEY_WAIT_FOR,
        Law.RESERVED_IS_HELD,
    ]
    for breach in report.breaches:
        assert (await repair(shop, breach)).is_healed
    assert (await shop.audit()).breaches == []
    await shop.ship(order)
    assert (await shop.audit()).breaches == []


async def test_goods_of_which_there_are_none_are_left_to_a_person(shop: OwnShop) -> None:
    product = await a_product(shop.resources.sessions, stock=2)
    order = await shop.buy(product=product)
    lost = {"order": UUID(order["id"]), "variant": product.variant_id}
    await shop.sql("UPDATE stock SET reserved = 0, on_hand = 0 WHERE variant_id = :variant", variant=lost["variant"])
    await shop.sql("DELETE FROM stock_holds WHERE order_id = :order", order=lost["order"])
    await shop.sql("DELETE FROM stock_movements WHERE variant_id = :variant", variant=lost["variant"])

    [breach] = (await shop.audit()).breaches
    outcome = await repair(shop, breach)

    assert breach.law is Law.ORDERS_HOLD_WHAT_THEY_WAIT_FOR
    assert not outcome.is_healed
    assert outcome.problem == "Some items are not available in the quantity asked for."
    assert (await shop.look(order))["concerns"][0]["concern"] == "books_broken"
    await shop.desk_cancel(order)
    assert (await shop.audit()).breaches == []


async def test_what_a_cancelled_order_still_holds_is_given_back(shop: OwnShop) -> None:
    order = await shop.buy()
    await shop.desk_cancel(order)
    facts = ids(":order :variant", order)
    await shop.sql("UPDATE stock_holds SET released = 0 WHERE order_id = :order", order=facts["order"])
    await shop.sql("UPDATE stock SET reserved = reserved + 2 WHERE variant_id = :variant", variant=facts["variant"])
    await shop.sql("DELETE FROM stock_movements WHERE order_id = :order AND reason = 'cancelled'", order=facts["order"])

    [breach] = (await shop.audit()).breaches

    assert (breach.law, breach.subject) == (Law.ORDERS_HOLD_WHAT_THEY_WAIT_FOR, order["id"])
    assert (await repair(shop, breach)).is_healed
    assert (await shop.audit()).breaches == []
