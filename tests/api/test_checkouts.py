"""One call makes an order of a cart, however often, with whatever card, and whoever else does the same."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.engines import private_shop
from tests.support.ledger import held, kept, moved, moved_by
from tests.support.shopper import Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually
from workflows.names import Queue, order_id

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    return problem


async def is_reserved(resources: Resources, product: AProduct, units: int, *, on_hand: int) -> None:
    """So many units are reserved, and the ledger of the stock says the same."""
    level = StockLevel(on_hand=on_hand, reserved=units)
    assert await stock_of(resources.sessions, product.variant_id) == level
    assert await ledger_of(resources.sessions, product.variant_id) == level


async def orders_of(resources: Resources, cart: str) -> list[tuple[str, str]]:
    """Status and payment status of every order that was ever made of this cart, oldest first."""
    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT status, payment_status FROM orders WHERE cart_id = :id ORDER BY number"), {"id": cart}
        )
        return [tuple(row) for row in rows]


async def checkouts_of(resources: Resources, cart: str) -> int:
    async with resources.sessions() as session:
        found = await session.scalar(text("SELECT count(*) FROM checkouts WHERE cart_id = :id"), {"id": cart})
    return int(found or 0)


async def cart_status(shopper: Shopper, cart: str) -> tuple[int, str]:
    """How a change of the cart is answered, and what the cart says of itself."""
    change = await shopper.send("PUT", f"/v1/carts/{cart}/shipping-method", json={"code": "standard"})
    shown = await shopper.send("GET", f"/v1/carts/{cart}")
    return change.status_code, shown.json()["status"]


async def test_a_good_card_confirms_the_order_and_takes_no_money_yet(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="19.99", stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 2))

    answer = await shopper.check_out(cart, expected_total={"amount": "44.97", "currency": "USD"})

    assert answer.status_code == 201, answer.text
    assert "Idempotency-Replayed" not in answer.headers
    order = answer.json()
    assert (order["status"], order["payment"]["status"], order["fulfillment_status"]) == (
        "confirmed",
        "authorized",
        "unfulfilled",
    )
    assert order["number"].startswith("S-")
    assert order["payment"]["provider"] == "stripe"
    assert order["payment"]["captured"] == order["payment"]["refunded"] == {"amount": "0.00", "currency": "USD"}
    assert order["totals"] == {
        "subtotal": {"amount": "39.98", "currency": "USD"},
        "discount": {"amount": "0.00", "currency": "USD"},
        "shipping": {"amount": "4.99", "currency": "USD"},
        "tax": {"amount": "0.00", "currency": "USD"},
        "included_tax": {"amount": "0.00", "currency": "USD"},
        "total": {"amount": "44.97", "currency": "USD"},
    }
    assert await moved(sandbox, order) == [("authorize", 4497)]
    await is_reserved(resources, product, 2, on_hand=5)
    assert await cart_status(shopper, cart) == (409, "completed")


# --- keys ---------------------------------------------------------------------------------------------------------


async def test_a_checkout_without_a_key_does_nothing(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))

    answer = await shopper.send("POST", "/v1/checkouts", json={"cart_id": cart, "payment_method": "pm_card_visa"})

    is_problem(answer, 400, "idempotency_key_required")
    assert await checkouts_of(resources, cart) == 0
    assert await cart_status(shopper, cart) == (200, "open")


@pytest.mark.parametrize("key", ["", "a b", "ä".encode("latin-1"), "k" * 256])
async def test_a_key_is_visible_ascii_of_at_most_255_characters(
    api: httpx.AsyncClient, resources: Resources, key: Any
) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))

    answer = await api.post(
        "/v1/checkouts", json={"cart_id": cart, "payment_method": "pm_card_visa"}, headers={"Idempotency-Key": key}
    )

    assert answer.status_code in (400, 422), answer.text
    assert await checkouts_of(resources, cart) == 0


async def test_the_same_key_again_gets_the_first_answer_again(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart, key = await shopper.a_cart((product.variant_id, 1)), str(uuid4())
    first = await shopper.check_out(cart, key=key)

    again = await shopper.check_out(cart, key=key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert await orders_of(resources, cart) == [("confirmed", "authorized")]
    assert await moved(sandbox, first.json()) == [("authorize", first_total(first))]
    await is_reserved(resources, product, 1, on_hand=5)


def first_total(answer: httpx.Response) -> int:
    return int(answer.json()["totals"]["total"]["amount"].replace(".", ""))


async def test_the_first_answer_stays_also_when_the_order_has_gone_on(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart, key = await shopper.a_cart((product.variant_id, 1)), str(uuid4())
    first = await shopper.check_out(cart, key=key)
    await shopper.send("POST", f"/v1/orders/{first.json()['id']}/cancel", json={"reason": "x"}, params={"cart": cart})

    again = await shopper.check_out(cart, key=key)

    assert again.status_code == 201
    assert again.json() == first.json()


async def test_a_refusal_is_repeated_word_for_word(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart, key = await shopper.a_cart((product.variant_id, 1)), str(uuid4())
    first = await shopper.check_out(cart, key=key, card="pm_card_chargeDeclined")

    again = await shopper.check_out(cart, key=key, card="pm_card_chargeDeclined")

    is_problem(again, 402, "payment_declined")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert await checkouts_of(resources, cart) == 1


@pytest.mark.parametrize(
    "change", [{"card": "pm_card_mastercard"}, {"expected_total": {"amount": "1.00", "currency": "USD"}}]
)
@pytest.mark.matrix("checkout: the same key with another body")
async def test_the_same_key_with_another_body_is_refused(
    api: httpx.AsyncClient, resources: Resources, change: dict[str, Any]
) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart, key = await shopper.a_cart((product.variant_id, 1)), str(uuid4())
    await shopper.check_out(cart, key=key)

    is_problem(await shopper.check_out(cart, key=key, **change), 422, "idempotency_key_reused")

    assert await orders_of(resources, cart) == [("confirmed", "authorized")]


async def test_the_same_key_for_another_cart_is_refused_and_leaves_that_cart_alone(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    key = str(uuid4())
    await shopper.check_out(await shopper.a_cart((product.variant_id, 1)), key=key)
    other = await shopper.a_cart((product.variant_id, 1))

    is_problem(await shopper.check_out(other, key=key), 422, "idempotency_key_reused")

    assert await cart_status(shopper, other) == (200, "open")
    await is_reserved(resources, product, 1, on_hand=5)


async def test_a_key_is_its_callers_own(api: httpx.AsyncClient, resources: Resources) -> None:
    product, key = await a_product(resources.sessions, stock=5), str(uuid4())
    shoppers = [Shopper(api, headers=await headers_of(resources, Role.CUSTOMER)) for _ in range(2)]

    answers = [await shopper.check_out(await shopper.a_cart((product.variant_id, 1)), key=key) for shopper in shoppers]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]


# --- twins --------------------------------------------------------------------------------------------------------


@pytest.mark.matrix("checkout: fifty twins")
async def test_fifty_twins_with_one_key_make_one_order_and_hear_the_same(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=60), Shopper(api)
    cart, key = await shopper.a_cart((product.variant_id, 1)), str(uuid4())

    answers = await asyncio.gather(*(shopper.check_out(cart, key=key) for _ in range(50)))

    assert Counter(answer.status_code for answer in answers) == {201: 50}
    first = answers[0].json()
    assert all(answer.json() == first for answer in answers)
    assert await questions_that_the_checkout_heard(resources, first["id"]) == 1
    assert await orders_of(resources, cart) == [("confirmed", "authorized")]
    assert await moved(sandbox, first) == [("authorize", 1499)]
    await is_reserved(resources, product, 1, on_hand=60)


async def questions_that_the_checkout_heard(resources: Resources, order: str) -> int:
    """Updates in the history of the order's first chapter: twins share one, or ten of them would fill it up."""
    checkout = resources.temporal.get_workflow_handle(order_id(UUID(order)))
    events = (await checkout.fetch_history()).events
    return len([event for event in events if event.HasField("workflow_execution_update_accepted_event_attributes")])


@pytest.mark.matrix("checkout: fifty twins")
async def test_fifty_twins_with_keys_of_their_own_make_one_order(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=60), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))

    answers = await asyncio.gather(*(shopper.check_out(cart) for _ in range(50)))

    made = [answer.json() for answer in answers if answer.status_code == 201]
    late = [answer for answer in answers if answer.status_code != 201]
    assert len({order["id"] for order in made}) == 1
    for answer in late:  # these came when it was over already
        assert is_problem(answer, 409, "cart_completed")["order_id"] == made[0]["id"]
    assert await orders_of(resources, cart) == [("confirmed", "authorized")]
    assert await checkouts_of(resources, cart) == 1
    assert await moved(sandbox, made[0]) == [("authorize", 1499)]
    await is_reserved(resources, product, 1, on_hand=60)


async def test_twenty_twins_with_a_declined_card_hear_the_same_and_are_declined_once(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, stock=60), Shopper(api)
    cart, key = await shopper.a_cart((product.variant_id, 1)), str(uuid4())

    answers = await asyncio.gather(
        *(shopper.check_out(cart, key=key, card="pm_card_chargeDeclined") for _ in range(20))
    )

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(402, "payment_declined")}
    assert await orders_of(resources, cart) == [("cancelled", "failed")]
    await is_reserved(resources, product, 0, on_hand=60)


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "lost_card"),
        ("pm_card_nobody_has_ever_seen", "resource_missing"),
    ],
)
@pytest.mark.matrix("checkout: the card is declined")
async def test_a_declined_card_says_why_and_leaves_the_cart_to_another_card(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, card: str, decline_code: str
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 2))

    problem = is_problem(await shopper.check_out(cart, card=card), 402, "payment_declined")

    assert problem["decline_code"] == decline_code
    await is_reserved(resources, product, 0, on_hand=5)
    assert await orders_of(resources, cart) == [("cancelled", "failed")]
    assert await cart_status(shopper, cart) == (200, "open")
    second = await shopper.check_out(cart)
    assert second.status_code == 201, second.text
    assert await orders_of(resources, cart) == [("cancelled", "failed"), ("confirmed", "authorized")]
    assert await moved(sandbox, second.json()) == [("authorize", 2499)]
    await is_reserved(resources, product, 2, on_hand=5)


@pytest.mark.matrix("checkout: too little stock, another price, or a code that somebody else used up")
async def test_a_cart_with_more_than_there_is_names_what_is_short_and_charges_nothing(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    plenty, short = await a_product(resources.sessions, stock=9), await a_product(resources.sessions, stock=1)
    shopper = Shopper(api)
    cart = await shopper.a_cart((plenty.variant_id, 1), (short.variant_id, 3))

    problem = is_problem(await shopper.check_out(cart), 409, "out_of_stock")

    assert problem["items"] == [{"variant_id": str(short.variant_id), "sku": short.sku, "requested": 3, "available": 1}]
    await is_reserved(resources, plenty, 0, on_hand=9)
    await is_reserved(resources, short, 0, on_hand=1)
    assert await orders_of(resources, cart) == []
    assert await cart_status(shopper, cart) == (200, "open")


async def test_a_total_that_has_changed_is_told_before_anything_is_charged(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE prices SET amount = 1200 WHERE variant_id = :id"), {"id": product.variant_id}
        )

    answer = await shopper.check_out(cart, expected_total={"amount": "14.99", "currency": "USD"})

    assert is_problem(answer, 409, "price_changed")["total"] == {"amount": "16.99", "currency": "USD"}
    await is_reserved(resources, product, 0, on_hand=5)
    assert await orders_of(resources, cart) == []
    agreed = await shopper.check_out(cart, expected_total={"amount": "16.99", "currency": "USD"})
    assert agreed.status_code == 201


async def test_a_total_in_another_currency_is_not_a_total_of_this_cart(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))

    answer = await shopper.check_out(cart, expected_total={"amount": "14.99", "currency": "EUR"})

    problem = is_problem(answer, 422, "validation_failed")
    assert [error["pointer"] for error in problem["errors"]] == ["/expected_total/currency"]
    assert await checkouts_of(resources, cart) == 0


async def test_an_incomplete_cart_points_at_everything_that_is_missing(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    shopper = Shopper(api)
    cart = (await shopper.send("POST", "/v1/carts", json={"currency": "USD"})).json()["id"]

    problem = is_problem(await shopper.check_out(cart), 422, "cart_incomplete")

    assert [error["pointer"] for error in problem["errors"]] == [
        "/email",
        "/shipping_address",
        "/shipping_method",
        "/items",
    ]
    assert await checkouts_of(resources, cart) == 0


async def test_what_is_not_sold_any_more_is_named(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    async with resources.sessions.begin() as session:
        await session.execute(text("UPDATE products SET is_active = false WHERE id = :id"), {"id": product.product_id})

    problem = is_problem(await shopper.check_out(cart), 422, "not_sold_in_currency")

    assert problem["items"] == [{"variant_id": str(product.variant_id), "sku": product.sku}]
    assert await orders_of(resources, cart) == []
    await is_reserved(resources, product, 0, on_hand=5)


async def test_a_cart_that_is_not_there_or_not_the_callers_is_not_found(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions, stock=5)
    owner = Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))
    cart = await owner.a_cart((product.variant_id, 1))

    is_problem(await Shopper(api).check_out(UNKNOWN), 404, "not_found")
    is_problem(await Shopper(api).check_out(cart), 404, "not_found")

    assert await checkouts_of(resources, cart) == 0


async def test_a_cart_that_became_an_order_is_not_ordered_again(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart)).json()

    assert is_problem(await shopper.check_out(cart), 409, "cart_completed")["order_id"] == order["id"]

    assert await orders_of(resources, cart) == [("confirmed", "authorized")]
    await is_reserved(resources, product, 1, on_hand=5)


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [
        ("4242424242424242", 422, "validation_failed"),
        ("", 422, "validation_failed"),
        (None, 422, "validation_failed"),
        ({"provider": "cheque"}, 422, "validation_failed"),
    ],
)
async def test_a_payment_method_is_a_token_of_the_provider(
    api: httpx.AsyncClient, resources: Resources, method: Any, status: int, code: str
) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))

    problem = is_problem(await shopper.check_out(cart, card=method), status, code)

    assert "4242" not in str(problem)  # a card number that strays here is not repeated
    assert await checkouts_of(resources, cart) == 0


# --- the payer has to act -----------------------------------------------------------------------------------------


async def at_the_bank(shopper: Shopper, product: AProduct, key: str | None = None) -> tuple[str, dict[str, Any]]:
    """A cart whose payer was sent to the bank, and its order."""
    cart = await shopper.a_cart((product.variant_id, 1))
    answer = await shopper.check_out(cart, card="pm_card_threeDSecure2Required", key=key)
    assert answer.status_code == 202, answer.text
    order = answer.json()
    assert (order["status"], order["payment"]["status"]) == ("pending", "requires_action")
    assert answer.headers["Location"] == f"/v1/orders/{order['id']}?cart={cart}"
    return cart, order


def becomes(shopper: Shopper, order: dict[str, Any], cart: str, status: str) -> Callable[[], Awaitable[Any]]:
    async def look() -> dict[str, Any] | None:
        found = await shopper.order(order["id"], cart)
        return found if found["status"] == status else None

    return look


@pytest.mark.matrix("checkout: the bank wants to see its customer, who comes")
async def test_a_payer_who_approves_at_the_bank_has_the_order_confirmed_by_the_webhook(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=5), Shopper(api)
    key = str(uuid4())
    cart, order = await at_the_bank(shopper, product, key)
    bank = order["payment"]["next_action"]["redirect_url"]
    assert await moved(sandbox, order) == []
    await is_reserved(resources, product, 1, on_hand=5)

    approved = await sandbox.post(f"{bank}/complete")
    confirmed = await eventually(becomes(shopper, order, cart, "confirmed"))

    assert approved.status_code == 303
    assert (confirmed["payment"]["status"], confirmed["payment"]["next_action"]) == ("authorized", None)
    assert await moved(sandbox, confirmed) == [("authorize", 1499)]
    await is_reserved(resources, product, 1, on_hand=5)
    again = await shopper.check_out(cart, card="pm_card_threeDSecure2Required", key=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.json()["id"] == order["id"]


async def test_a_payer_whom_the_bank_does_not_know_gets_the_cart_back(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=5), Shopper(api)
    cart, order = await at_the_bank(shopper, product)

    await sandbox.post(f"{order['payment']['next_action']['redirect_url']}/fail")
    cancelled = await eventually(becomes(shopper, order, cart, "cancelled"))

    assert cancelled["cancel_reason"] == "payment_declined"
    assert cancelled["payment"]["status"] == "failed"
    assert cancelled["payment"]["decline_code"] == "payment_intent_authentication_failure"
    assert await moved(sandbox, order) == []
    await is_reserved(resources, product, 0, on_hand=5)
    assert (await shopper.check_out(cart)).status_code == 201


@pytest.mark.matrix("checkout: its customer cancels before it is confirmed")
async def test_a_payer_at_the_bank_may_cancel_and_is_never_charged(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=5), Shopper(api)
    key = str(uuid4())
    cart, order = await at_the_bank(shopper, product, key)

    cancelled = await shopper.send(
        "POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"}, params={"cart": cart}
    )

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    late = await sandbox.post(f"{order['payment']['next_action']['redirect_url']}/complete")
    assert late.status_code == 409
    assert await moved(sandbox, order) == []
    await is_reserved(resources, product, 0, on_hand=5)
    again = await shopper.check_out(cart, card="pm_card_threeDSecure2Required", key=key)
    is_problem(again, 409, "checkout_cancelled")
    assert (await shopper.check_out(cart)).status_code == 201


# --- a provider in trouble ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["error", "error_after", "drop_response"])
@pytest.mark.matrix("checkout: the answer is lost after the provider's commit")
async def test_an_answer_of_the_provider_that_gets_lost_charges_once(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, fault: str
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    await sandbox.put("/faults", json={"payments": {"next": [{"operation": "create", "fault": fault}]}})

    answer = await shopper.check_out(cart)

    assert answer.status_code == 201, answer.text
    assert await moved(sandbox, answer.json()) == [("authorize", 1499)]
    assert await movements_for(sandbox, answer.json()) == 1
    await is_reserved(resources, product, 1, on_hand=5)


async def movements_for(sandbox: httpx.AsyncClient, order: dict[str, Any]) -> int:
    """Over all payments that were ever made for the order, also those that the shop does not know of."""
    rows = (await sandbox.get("/ledger")).json()["items"]
    return len([row for row in rows if row["metadata"].get("order_id") == order["id"]])


# --- workers that are away ------------------------------------------------------------------------------------------


@pytest.mark.matrix("checkout: nobody works on the queue")
async def test_a_checkout_that_nobody_works_on_is_answered_202_and_confirmed_when_somebody_does(
    resources: Resources,
    sandbox: httpx.AsyncClient,
    environment: dict[str, str],
    operator: dict[str, str],
    tmp_path: Path,
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    hasty = {**environment, "APP_API__CHECKOUT_WAIT_SECONDS": "0.5"}
    async with private_shop(resources, hasty, tmp_path) as shop:
        shopper, key = Shopper(shop.http), str(uuid4())
        cart = await shopper.a_cart((product.variant_id, 1))

        answer = await shopper.check_out(cart, key=key)
        again = await shopper.check_out(cart, key=key)

        assert (answer.status_code, again.status_code) == (202, 202), answer.text
        order = answer.json()
        assert (order["status"], order["payment"], order["items"]) == ("pending", None, [])
        assert answer.headers["Location"] == f"/v1/orders/{order['id']}?cart={cart}"
        assert again.json()["id"] == order["id"]
        await is_reserved(resources, product, 0, on_hand=5)
        assert (await shopper.send("GET", answer.headers["Location"])).json()["status"] == "pending"

        await shop.start_worker(Queue.CHECKOUT)
        await shop.start_worker(Queue.PAYMENTS)
        confirmed = await eventually(becomes(shopper, order, cart, "confirmed"))

        assert await moved(sandbox, confirmed) == [("authorize", 1499)]
        assert await orders_of(resources, cart) == [("confirmed", "authorized")]
        repeated = await shopper.check_out(cart, key=key)
        assert (repeated.status_code, repeated.json()["id"]) == (201, order["id"])


async def test_money_is_neither_held_nor_kept_for_an_order_that_was_declined(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    await shopper.check_out(cart, card="pm_card_chargeDeclined")

    async with resources.sessions() as session:
        reference = await session.scalar(
            text(
                "SELECT provider_reference FROM payments JOIN orders ON orders.id = payments.order_id "
                "WHERE cart_id = :id"
            ),
            {"id": cart},
        )
    movements = await moved_by(sandbox, str(reference))
    assert (held(movements), kept(movements)) == (0, 0)
