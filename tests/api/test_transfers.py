"""Bank transfers: an order waits for its money, a person says when it has come, and a person sends it back."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import WorkflowExecutionStatus

from db import audit_log, orders, refunds
from db.base import new_id
from domain.deadlines import Term
from domain.inventory import StockLevel
from domain.orders import ConfirmOrder, StartCheckout
from domain.payments import Answer, PaymentAuthorization
from domain.refunds import PaymentRefund, SettleRefund
from runtime.resources import Resources
from tests.api.test_operators import UNKNOWN, Desk, is_problem
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.orders import a_cart, timeline_of, to_place
from tests.support.shopper import Shopper
from tests.support.waiting import eventually
from workflows import names
from workflows.checkout import Checkout
from workflows.names import Queue

MANUAL: Any = {"provider": "manual"}


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


@pytest.fixture
async def product(resources: Resources) -> AProduct:
    return await a_product(resources.sessions, price="10.00", stock=9)


class Waiting:
    """An order of three units, 34.99 in all, that waits for its bank transfer."""

    def __init__(self, shopper: Shopper, cart: str, answer: httpx.Response) -> None:
        self.shopper = shopper
        self.cart = cart
        self.answer = answer
        self.order: dict[str, Any] = answer.json()

    async def now(self) -> dict[str, Any]:
        return await self.shopper.order(self.order["id"], self.cart)

    async def cancel(self, **what: Any) -> httpx.Response:
        path = f"/v1/orders/{self.order['id']}/cancel?cart={self.cart}"
        return await self.shopper.send("POST", path, json={"reason": "changed my mind", **what})


async def wait_for(api: httpx.AsyncClient, product: AProduct) -> Waiting:
    shopper = Shopper(api, email=f"payer.{uuid4().hex}@example.com")
    cart = await shopper.a_cart((product.variant_id, 3))
    answer = await shopper.check_out(cart, card=MANUAL)
    assert answer.status_code == 202, answer.text
    return Waiting(shopper, cart, answer)


@pytest.fixture
async def waiting(api: httpx.AsyncClient, product: AProduct) -> Waiting:
    return await wait_for(api, product)


@pytest.fixture
async def paid(waiting: Waiting, desk: Desk) -> Waiting:
    answer = await received(desk, waiting)
    assert answer.status_code == 200, answer.text
    return waiting


async def received(desk: Desk, waiting: Waiting, reference: str = "statement 12, line 3") -> httpx.Response:
    return await desk.post(f"/orders/{waiting.order['id']}/payment-received", {"reference": reference})


async def paid_back(desk: Desk, refund: dict[str, Any], reference: str = "sent 7") -> httpx.Response:
    return await desk.post(f"/refunds/{refund['id']}/paid", {"reference": reference})


def money(order: dict[str, Any]) -> tuple[str, str, str]:
    payment = order["payment"]
    return payment["status"], payment["captured"]["amount"], payment["refunded"]["amount"]


async def is_stock(resources: Resources, product: AProduct, on_hand: int, reserved: int) -> None:
    level = StockLevel(on_hand=on_hand, reserved=reserved)
    assert await stock_of(resources.sessions, product.variant_id) == level
    assert await ledger_of(resources.sessions, product.variant_id) == level


def until(look: Callable[[], Awaitable[dict[str, Any]]], **wanted: Any) -> Awaitable[dict[str, Any]]:
    """The order as soon as it looks like this."""

    async def looked() -> dict[str, Any] | None:
        order = await look()
        return order if all(order[name] == value for name, value in wanted.items()) else None

    return eventually(looked)


async def are_mailed(sandbox: httpx.AsyncClient, waiting: Waiting, *subjects: str) -> bool:
    """Exactly these subjects, in the order of the alphabet."""
    letters = (await sandbox.get("/mail", params={"to": waiting.shopper.email})).json()["items"]
    return sorted(letter["subject"] for letter in letters) == list(subjects)


# --- waiting --------------------------------------------------------------------------------------------------------


async def test_an_order_by_bank_transfer_is_placed_and_waits_a_week_with_its_goods_held(
    resources: Resources, product: AProduct, waiting: Waiting
) -> None:
    order, payment = waiting.order, waiting.order["payment"]

    assert waiting.answer.headers["Location"] == f"/v1/orders/{order['id']}?cart={waiting.cart}"
    assert (order["status"], payment["provider"], payment["status"]) == ("pending", "manual", "pending")
    assert (payment["amount"]["amount"], payment["captured"]["amount"]) == ("34.99", "0.00")
    assert (payment["provider_reference"], payment["next_action"]) == (None, None)
    placed_at, due_at = (datetime.fromisoformat(time) for time in (order["created_at"], payment["due_at"]))
    assert due_at == Term(days=7, zone=UTC).end(placed_at)
    await is_stock(resources, product, on_hand=9, reserved=3)
    async with resources.sessions() as session:
        held_until = await session.scalar(
            text("SELECT expires_at FROM stock_holds WHERE order_id = :id"), {"id": order["id"]}
        )
    assert held_until == due_at
    assert await timeline_of(resources.sessions, UUID(order["id"])) == ["order.placed", "order.transfer_awaited"]


async def test_the_customer_is_mailed_what_to_pay_where_and_by_which_name(
    sandbox: httpx.AsyncClient, waiting: Waiting
) -> None:
    async def letter() -> dict[str, Any] | None:
        letters = (await sandbox.get("/mail", params={"to": waiting.shopper.email})).json()["items"]
        return letters[0] if letters else None

    mail: Any = await eventually(letter)

    assert mail["subject"] == f"Sutler: please pay your order {waiting.order['number']}"
    assert (
        f"Amount: $34.99\nTo: Sutler, account 0000 0000 at the Example Bank\nReference: {waiting.order['number']}"
        in (mail["text"].replace("\r\n", "\n"))
    )


async def test_a_repeated_checkout_finds_the_order_that_waits(
    resources: Resources, api: httpx.AsyncClient, product: AProduct
) -> None:
    shopper, key = Shopper(api), str(uuid4())
    cart = await shopper.a_cart((product.variant_id, 1))

    first, second = [await shopper.check_out(cart, card=MANUAL, key=key) for _ in range(2)]

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    await is_stock(resources, product, on_hand=9, reserved=1)


async def test_operators_are_told_what_the_order_waits_for_and_what_they_can_decide(
    api: httpx.AsyncClient, operator: dict[str, str], waiting: Waiting
) -> None:
    told = (await api.get(f"/v1/admin/orders/{waiting.order['id']}/explain", headers=operator)).json()

    assert told["waits_for"].startswith("its customer's bank transfer, until ")
    assert (told["story"], told["concerns"], told["decisions"]) == ("Checkout", [], ["skip", "cancel"])


@pytest.mark.matrix("checkout: a bank transfer does not come")
async def test_an_order_that_nobody_pays_by_its_deadline_is_given_up_and_its_customer_told(
    sandbox: httpx.AsyncClient, resources: Resources, product: AProduct, desk: Desk
) -> None:
    email = f"payer.{uuid4().hex}@example.com"
    cart = await a_cart(resources.sessions, (product.variant_id, 3), email=email)
    placed = await to_place(resources.sessions, cart)
    request = StartCheckout(
        order_id=placed.order_id,
        order_number=placed.order_number,
        cart_id=cart,
        payment_id=placed.payment_id,
        payment_method="manual",
        customer="guest",
        transfer_window=timedelta(seconds=3),
    )
    await resources.temporal.start_workflow(
        Checkout.run, request, id=names.order_id(request.order_id), task_queue=Queue.CHECKOUT
    )
    order: Any = {"id": str(request.order_id)}
    order = await until(partial(desk.order, order), status="cancelled")

    assert (order["cancel_reason"], order["payment"]["decline_code"]) == ("payment_expired", "expired")
    assert money(order) == ("failed", "0.00", "0.00")
    late = datetime.fromisoformat(order["updated_at"]) - datetime.fromisoformat(order["payment"]["due_at"])
    assert timedelta(0) <= late
    await is_stock(resources, product, on_hand=9, reserved=0)
    async with resources.sessions() as session:
        assert await session.scalar(text("SELECT order_id FROM carts WHERE id = :id"), {"id": cart}) is None
    refused = await desk.post(f"/orders/{order['id']}/payment-received", {"reference": "late"})
    assert "send the money back by hand" in is_problem(refused, 409, "order_transition_not_allowed")["detail"]

    async def is_told() -> bool:
        letters = (await sandbox.get("/mail", params={"to": email})).json()["items"]
        return f"Sutler: your order {order['number']} was cancelled" in [letter["subject"] for letter in letters]

    await eventually(is_told)


# --- the money comes ------------------------------------------------------------------------------------------------


async def test_an_operators_word_confirms_the_order_and_the_money_is_ours(
    resources: Resources, product: AProduct, waiting: Waiting, desk: Desk
) -> None:
    answer = await received(desk, waiting)

    assert answer.status_code == 200, answer.text
    order = answer.json()
    assert (order["status"], money(order)) == ("confirmed", ("captured", "34.99", "0.00"))
    assert order["payment"]["provider_reference"] == "statement 12, line 3"
    await is_stock(resources, product, on_hand=9, reserved=3)
    assert await timeline_of(resources.sessions, UUID(order["id"])) == [
        "order.placed",
        "order.transfer_awaited",
        "order.confirmed",
    ]


async def test_the_mail_that_asks_for_money_is_followed_by_the_one_that_confirms(
    sandbox: httpx.AsyncClient, waiting: Waiting, desk: Desk
) -> None:
    asked = f"Sutler: please pay your order {waiting.order['number']}"
    await eventually(partial(are_mailed, sandbox, waiting, asked))

    await received(desk, waiting)

    await eventually(partial(are_mailed, sandbox, waiting, asked, f"Sutler: your order {waiting.order['number']}"))


@pytest.mark.matrix("checkout: a bank transfer is noted twice, or too late")
async def test_the_same_word_again_is_the_same_answer_and_twenty_at_once_confirm_once(
    resources: Resources, waiting: Waiting, desk: Desk
) -> None:
    answers = await asyncio.gather(*(received(desk, waiting) for _ in range(20)))
    again = await received(desk, waiting)

    assert {answer.status_code for answer in [*answers, again]} == {200}
    assert {answer.json()["status"] for answer in answers} == {"confirmed"}
    assert money(again.json()) == ("captured", "34.99", "0.00")
    events = await timeline_of(resources.sessions, UUID(waiting.order["id"]))
    assert events.count("order.confirmed") == 1


async def test_another_transfer_for_an_order_that_is_paid_is_refused(paid: Waiting, desk: Desk) -> None:
    before = await paid.now()

    problem = is_problem(await received(desk, paid, "statement 13, line 1"), 409, "transfer_noted_before")

    assert problem["reference"] == "statement 12, line 3"
    assert "send this one back by hand" in problem["detail"]
    assert await paid.now() == before


@pytest.mark.matrix("checkout: a bank transfer is noted twice, or too late")
async def test_two_operators_with_different_transfers_at_once_are_one_payment_and_one_refusal(
    waiting: Waiting, desk: Desk
) -> None:
    one, other = await asyncio.gather(received(desk, waiting, "one"), received(desk, waiting, "other"))

    assert sorted([one.status_code, other.status_code]) == [200, 409]
    won, lost = (one, other) if one.status_code == 200 else (other, one)
    is_problem(lost, 409, "transfer_noted_before")
    assert (await waiting.now())["payment"]["provider_reference"] == won.json()["payment"]["provider_reference"]


async def test_money_for_a_cancelled_order_is_refused_with_advice(waiting: Waiting, desk: Desk) -> None:
    await waiting.cancel()
    before = await waiting.now()

    problem = is_problem(await received(desk, waiting), 409, "order_transition_not_allowed")

    assert (problem["current_status"], problem["allowed"]) == ("cancelled", [])
    assert "send the money back by hand" in problem["detail"]
    assert await waiting.now() == before


async def test_money_for_an_order_that_a_card_pays_is_refused(
    api: httpx.AsyncClient, product: AProduct, desk: Desk
) -> None:
    shopper = Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart)).json()

    answer = await desk.post(f"/orders/{order['id']}/payment-received", {"reference": "one"})

    is_problem(answer, 409, "not_a_bank_transfer")
    assert await shopper.order(order["id"], cart) == order


async def test_only_staff_notes_money_and_the_audit_log_keeps_who_did(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], waiting: Waiting, desk: Desk
) -> None:
    path = f"/v1/admin/orders/{waiting.order['id']}/payment-received"
    is_problem(await api.post(path, json={"reference": "one"}), 401, "unauthenticated")
    is_problem(await desk.post(f"/orders/{UNKNOWN}/payment-received", {"reference": "one"}), 404, "not_found")
    is_problem(await desk.post(f"/orders/{waiting.order['id']}/payment-received", {}), 422, "validation_failed")
    assert (await waiting.now())["status"] == "pending"

    await received(desk, waiting)

    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT action, note FROM audit_log WHERE order_id = :id"), {"id": waiting.order["id"]}
        )
        assert [tuple(row) for row in rows] == [("payment_received", "statement 12, line 3")]


async def test_shipping_an_order_that_was_paid_ahead_takes_no_money(paid: Waiting, desk: Desk) -> None:
    line = paid.order["items"][0]["id"]
    for parcel in (await desk.packs(paid.order, (line, 1)), await desk.packs(paid.order)):
        assert (await desk.ships(parcel))["status"] == "shipped"
        assert (await desk.post(f"/fulfillments/{parcel}/deliver")).status_code == 200

    order = await paid.now()
    assert (order["status"], money(order)) == ("delivered", ("captured", "34.99", "0.00"))


# --- unpaid goods do not leave --------------------------------------------------------------------------------------


async def test_an_order_that_is_not_paid_can_neither_be_packed_nor_shipped(
    resources: Resources, product: AProduct, waiting: Waiting, desk: Desk
) -> None:
    answer = await desk.post(f"/orders/{waiting.order['id']}/fulfillments", {})

    problem = is_problem(answer, 409, "order_transition_not_allowed")
    assert (problem["current_status"], problem["allowed"]) == ("pending", ["cancelled", "confirmed"])
    assert (await waiting.now())["fulfillments"] == []
    await is_stock(resources, product, on_hand=9, reserved=3)


async def resolve(desk: Desk, waiting: Waiting, decision: str) -> httpx.Response:
    return await desk.post(f"/orders/{waiting.order['id']}/resolve", {"decision": decision, "note": "known customer"})


async def test_a_person_may_let_goods_go_without_the_money_and_say_why(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources, waiting: Waiting, desk: Desk
) -> None:
    answer = await resolve(desk, waiting, "skip")

    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], money(answer.json())) == ("confirmed", ("pending", "0.00", "0.00"))
    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT action, note FROM audit_log WHERE order_id = :id"), {"id": waiting.order["id"]}
        )
        assert [tuple(row) for row in rows] == [("resolve:skip", "known customer")]
    parcel = await desk.packs(waiting.order)
    assert (await desk.ships(parcel))["status"] == "shipped"
    assert (await desk.post(f"/fulfillments/{parcel}/deliver")).status_code == 200
    delivered = await waiting.now()
    assert (delivered["status"], money(delivered)) == ("delivered", ("pending", "0.00", "0.00"))
    told = (await api.get(f"/v1/admin/orders/{waiting.order['id']}/explain", headers=operator)).json()
    assert (told["story"], told["waits_for"]) == ("Fulfillment", "its customer's bank transfer")

    noted = await received(desk, waiting)

    assert noted.status_code == 200, noted.text
    assert (noted.json()["status"], money(noted.json())) == ("delivered", ("captured", "34.99", "0.00"))
    assert (await received(desk, waiting)).json() == noted.json()


async def test_an_order_that_was_confirmed_without_its_money_can_be_cancelled_and_owes_nothing(
    resources: Resources, product: AProduct, waiting: Waiting, desk: Desk
) -> None:
    assert (await resolve(desk, waiting, "skip")).status_code == 200

    assert (await waiting.cancel()).status_code == 200

    order = await waiting.now()
    assert (order["status"], money(order), order["refunds"]) == ("cancelled", ("voided", "0.00", "0.00"), [])
    await is_stock(resources, product, on_hand=9, reserved=0)


async def test_a_person_may_end_the_wait_by_cancelling(
    resources: Resources, product: AProduct, waiting: Waiting, desk: Desk
) -> None:
    assert (await resolve(desk, waiting, "cancel")).json()["status"] == "cancelled"

    await is_stock(resources, product, on_hand=9, reserved=0)
    problem = is_problem(await resolve(desk, waiting, "skip"), 409, "nothing_to_resolve")
    assert problem["allowed"] == []


async def test_what_cannot_be_retried_is_not_decided(waiting: Waiting, desk: Desk) -> None:
    problem = is_problem(await resolve(desk, waiting, "retry"), 409, "nothing_to_resolve")

    assert problem["allowed"] == ["cancel", "skip"]
    assert (await waiting.now())["status"] == "pending"


# --- the money goes back --------------------------------------------------------------------------------------------


async def test_a_cancelled_wait_gives_goods_and_cart_back_and_owes_nothing(
    resources: Resources, product: AProduct, waiting: Waiting
) -> None:
    assert (await waiting.cancel()).status_code == 200

    order = await waiting.now()
    assert (order["status"], money(order), order["refunds"]) == ("cancelled", ("failed", "0.00", "0.00"), [])
    assert order["needs_attention"] is False
    await is_stock(resources, product, on_hand=9, reserved=0)
    again = await waiting.shopper.check_out(waiting.cart)
    assert again.status_code == 201, again.text


async def test_a_cancelled_paid_order_waits_for_a_person_to_send_the_money_back(
    resources: Resources, product: AProduct, paid: Waiting, desk: Desk
) -> None:
    assert (await paid.cancel()).status_code == 200

    order = await until(paid.now, needs_attention=True)
    [refund] = order["refunds"]
    assert (order["status"], money(order)) == ("cancelled", ("captured", "34.99", "0.00"))
    assert (refund["status"], refund["amount"]["amount"], refund["reason"]) == ("requested", "34.99", "order_cancelled")
    assert [(concern["concern"], concern["detail"]) for concern in order["concerns"]] == [
        ("refund_due", f"to be sent back by bank transfer: USD 34.99 for refund {refund['id']}")
    ]
    await is_stock(resources, product, on_hand=9, reserved=0)

    sent = await paid_back(desk, refund)

    assert sent.status_code == 200, sent.text
    assert (sent.json()["status"], sent.json()["reference"]) == ("succeeded", "sent 7")
    order = await paid.now()
    assert (order["status"], money(order)) == ("cancelled", ("refunded", "34.99", "34.99"))
    assert (order["needs_attention"], order["concerns"]) == (False, [])
    assert (await paid_back(desk, refund)).json() == sent.json()
    problem = is_problem(await paid_back(desk, refund, "sent 8"), 409, "refund_transition_not_allowed")
    assert (problem["current_status"], problem["reference"]) == ("succeeded", "sent 7")
    assert await paid.now() == order


async def test_a_refunds_story_that_lost_a_persons_word_hears_it_when_it_is_repeated(
    resources: Resources, paid: Waiting, desk: Desk
) -> None:
    """What an engine leaves that is killed after a step was done, and before it wrote down what set the step off."""
    await paid.cancel()
    [refund] = (await until(paid.now, needs_attention=True))["refunds"]
    refund_id, order_id = UUID(refund["id"]), UUID(paid.order["id"])
    async with resources.sessions.begin() as session:
        note = await noted(session, "refund_paid", order_id, "sent 7")
        outcome = PaymentRefund(is_refunded=True)
        settled = SettleRefund(
            refund_id=refund_id, order_id=order_id, outcome=outcome, actor="operator:1", note_id=note
        )
        await refunds.settle(session, settled)
    story = resources.temporal.get_workflow_handle(names.refund_id(refund_id))
    assert (await story.describe()).status is WorkflowExecutionStatus.RUNNING

    sent = await paid_back(desk, refund)

    assert (sent.status_code, sent.json()["status"], sent.json()["reference"]) == (200, "succeeded", "sent 7")
    assert (await story.result())["status"] == "succeeded"
    assert money(await paid.now()) == ("refunded", "34.99", "34.99")


async def test_a_checkout_that_lost_a_persons_word_hears_it_when_it_is_repeated(
    resources: Resources, waiting: Waiting, desk: Desk
) -> None:
    order_id = UUID(waiting.order["id"])
    async with resources.sessions.begin() as session:
        payment_id = await session.scalar(text("SELECT id FROM payments WHERE order_id = :id"), {"id": order_id})
        note = await noted(session, "payment_received", order_id, "statement 12, line 3")
        money_here = PaymentAuthorization(answer=Answer.AUTHORIZED, reference=None, amount_minor=3499, is_captured=True)
        await orders.confirm(
            session, ConfirmOrder(order_id=order_id, payment_id=payment_id, authorization=money_here, note_id=note)
        )

    told = await received(desk, waiting)

    assert (told.status_code, told.json()["status"], money(told.json())) == (
        200,
        "confirmed",
        ("captured", "34.99", "0.00"),
    )
    assert (await desk.post(f"/orders/{order_id}/fulfillments", {})).status_code == 201


async def noted(session: AsyncSession, action: str, order_id: UUID, words: str) -> UUID:
    note = new_id()
    await audit_log.note(session, "operator:1", action, order_id=order_id, words=words, entry_id=note)
    return note


async def test_a_refund_that_waits_goes_on_waiting_when_its_order_is_cancelled(paid: Waiting, desk: Desk) -> None:
    refund = (await desk.post(f"/orders/{paid.order['id']}/refunds", {"reason": "all of it"})).json()
    assert (refund["status"], refund["amount"]["amount"]) == ("requested", "34.99")

    assert (await paid.cancel()).status_code == 200

    order = await paid.now()
    assert [known["id"] for known in order["refunds"]] == [refund["id"]]
    assert [concern["concern"] for concern in order["concerns"]] == ["refund_due"]
    assert (await paid_back(desk, refund)).status_code == 200
    order = await paid.now()
    assert (money(order), order["needs_attention"]) == (("refunded", "34.99", "34.99"), False)


async def test_units_that_were_paid_ahead_and_cancelled_are_sent_back_by_hand(
    resources: Resources, product: AProduct, paid: Waiting, desk: Desk
) -> None:
    line = paid.order["items"][0]["id"]
    assert (await paid.cancel(items=[{"order_item_id": line, "quantity": 1}])).status_code == 200
    assert (await paid.cancel(items=[{"order_item_id": line, "quantity": 1}])).status_code == 200

    order = await until(paid.now, needs_attention=True)
    assert [(refund["status"], refund["amount"]["amount"]) for refund in order["refunds"]] == [
        ("requested", "10.00")
    ] * 2
    await is_stock(resources, product, on_hand=9, reserved=1)
    one, other = order["refunds"]
    await paid_back(desk, one, "sent 1")
    order = await paid.now()
    assert money(order) == ("partially_refunded", "34.99", "10.00")
    assert [concern["detail"] for concern in order["concerns"]] == [
        f"to be sent back by bank transfer: USD 10.00 for refund {other['id']}"
    ]
    await desk.ships(await desk.packs(paid.order))
    await paid_back(desk, other, "sent 2")

    order = await paid.now()
    assert (order["status"], money(order), order["concerns"]) == (
        "shipped",
        ("partially_refunded", "34.99", "20.00"),
        [],
    )
    rest = await desk.post(f"/orders/{order['id']}/refunds", {"reason": "all of it"})
    assert (rest.status_code, rest.json()["status"], rest.json()["amount"]["amount"]) == (201, "requested", "14.99")


async def test_a_return_is_here_at_once_and_paid_back_when_a_person_has_sent_the_money(
    api: httpx.AsyncClient, paid: Waiting, desk: Desk
) -> None:
    parcel = await desk.packs(paid.order)
    await desk.ships(parcel)
    await desk.post(f"/fulfillments/{parcel}/deliver")
    wish = [{"order_item_id": paid.order["items"][0]["id"], "quantity": 2, "reason": "too small"}]
    path = f"/v1/orders/{paid.order['id']}/returns?cart={paid.cart}"
    made = (await paid.shopper.send("POST", path, json={"items": wish})).json()
    assert (await desk.post(f"/returns/{made['id']}/approve")).status_code == 200

    here = await desk.post(f"/returns/{made['id']}/receive")

    assert (here.status_code, here.json()["status"]) == (200, "received"), here.text
    order = await until(paid.now, needs_attention=True)
    [refund] = order["refunds"]
    assert (refund["status"], refund["amount"]["amount"]) == ("requested", "20.00")
    assert (await paid_back(desk, refund)).json()["status"] == "succeeded"

    async def is_refunded() -> bool:
        [known] = (await paid.now())["returns"]
        return bool(known["status"] == "refunded")

    await eventually(is_refunded)
    assert money(await paid.now()) == ("partially_refunded", "34.99", "20.00")


async def test_a_lost_parcel_is_paid_back_by_hand_too(paid: Waiting, desk: Desk) -> None:
    parcel = await desk.packs(paid.order)
    await desk.ships(parcel)

    assert (await desk.post(f"/fulfillments/{parcel}/lost", {"remedy": "refund"})).status_code == 200

    order = await until(paid.now, needs_attention=True)
    [refund] = order["refunds"]
    assert (order["status"], refund["status"], refund["amount"]["amount"]) == ("cancelled", "requested", "34.99")
    assert (await paid_back(desk, refund)).status_code == 200
    assert money(await paid.now()) == ("refunded", "34.99", "34.99")


async def test_only_a_refund_that_a_person_sends_can_be_noted_as_sent(
    api: httpx.AsyncClient, product: AProduct, desk: Desk
) -> None:
    is_problem(await desk.post(f"/refunds/{UNKNOWN}/paid", {"reference": "one"}), 404, "not_found")
    shopper = Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart)).json()
    await desk.ships(await desk.packs(order))
    refund = (await desk.post(f"/orders/{order['id']}/refunds", {"reason": "broken"})).json()

    is_problem(await paid_back(desk, refund), 409, "not_a_bank_transfer")

    is_problem(
        await api.post(f"/v1/admin/refunds/{refund['id']}/paid", json={"reference": "x"}), 401, "unauthenticated"
    )
