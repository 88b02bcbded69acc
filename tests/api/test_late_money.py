"""Money that arrives for an order which does not want it, and webhooks in every order: one final state, one charge."""

import asyncio
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_operators import Desk, an_order
from tests.api.test_webhooks import deliver
from tests.support.catalog import AProduct, a_product, stock_of
from tests.support.ledger import late_money, moved, moved_by
from tests.support.people import mails_to
from tests.support.shopper import Shopper
from tests.support.waiting import eventually

AT_THE_BANK = "pm_card_threeDSecure2Required"


@pytest.fixture
async def product(resources: Resources) -> AProduct:
    return await a_product(resources.sessions, price="10.00", stock=50)


async def payment_of(resources: Resources, order: dict[str, Any]) -> UUID:
    async with resources.sessions() as session:
        payment = await session.scalar(text("SELECT id FROM payments WHERE order_id = :id"), {"id": order["id"]})
        assert isinstance(payment, UUID)
        return payment


async def timeline(shopper: Shopper, order: dict[str, Any], cart: str) -> list[str]:
    events = (await shopper.send("GET", f"/v1/orders/{order['id']}/events", params={"cart": cart})).json()["items"]
    return [event["type"] for event in events]


async def a_cancelled_order(shopper: Shopper, product: AProduct, cart: str) -> dict[str, Any]:
    order: dict[str, Any] = (await shopper.check_out(cart)).json()
    path = f"/v1/orders/{order['id']}/cancel"
    assert (await shopper.send("POST", path, json={"reason": "x"}, params={"cart": cart})).status_code == 200
    return await shopper.order(order["id"], cart)


@pytest.mark.parametrize(("is_taken", "goes_back"), [(False, ["void"]), (True, ["capture", "refund"])])
@pytest.mark.matrix("checkout: money comes after its order was cancelled, or a second time")
async def test_money_that_comes_for_a_cancelled_order_goes_back_and_the_customer_is_told(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    resources: Resources,
    product: AProduct,
    *,
    is_taken: bool,
    goes_back: list[str],
) -> None:
    shopper = Shopper(api, email=f"late.{uuid4().hex}@example.com")
    cart = await shopper.a_cart((product.variant_id, 1))
    order = await a_cancelled_order(shopper, product, cart)
    before = await stock_of(resources.sessions, product.variant_id)

    reference = await late_money(sandbox, await payment_of(resources, order), is_taken=is_taken)

    async def is_told() -> bool:
        return (await timeline(shopper, order, cart))[-1] == "payment.late_money_returned"

    await eventually(is_told)
    assert await moved_by(sandbox, reference) == [("authorize", 1499), *((kind, 1499) for kind in goes_back)]
    assert await moved(sandbox, order) == [("authorize", 1499), ("void", 1499)]
    assert await shopper.order(order["id"], cart) == {**order, "version": order["version"] + 1}
    assert await stock_of(resources.sessions, product.variant_id) == before

    async def is_mailed() -> list[Any]:
        return [mail for mail in await mails_to(sandbox, shopper.email) if "goes back" in mail["subject"]]

    [mail] = await eventually(is_mailed)
    assert order["number"] in mail["subject"]
    assert "$14.99" in mail["text"]


@pytest.mark.matrix("checkout: money comes after its order was cancelled, or a second time")
async def test_a_second_payment_for_an_order_that_is_paid_goes_back_and_the_first_stays(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, product: AProduct
) -> None:
    shopper = Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart)).json()

    reference = await late_money(sandbox, await payment_of(resources, order))

    async def is_back() -> bool:
        return (await timeline(shopper, order, cart))[-1] == "payment.late_money_returned"

    await eventually(is_back)
    assert await moved_by(sandbox, reference) == [("authorize", 1499), ("void", 1499)]
    assert await moved(sandbox, order) == [("authorize", 1499)]
    assert (await shopper.order(order["id"], cart))["status"] == "confirmed"


async def test_late_money_that_is_told_of_twenty_times_goes_back_once(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, product: AProduct
) -> None:
    shopper = Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = await a_cancelled_order(shopper, product, cart)
    payment = await payment_of(resources, order)
    reference = await late_money(sandbox, payment, is_taken=True)

    told = [about(reference, payment, "payment_intent.succeeded") for _ in range(10)]
    answers = await asyncio.gather(*(deliver(api, event) for event in (*told, *told)))

    assert {answer.status_code for answer in answers} == {200}

    async def is_over() -> bool:
        return "payment.late_money_returned" in await timeline(shopper, order, cart)

    await eventually(is_over)
    assert await moved_by(sandbox, reference) == [("authorize", 1499), ("capture", 1499), ("refund", 1499)]
    assert (await timeline(shopper, order, cart)).count("payment.late_money_returned") == 1


async def test_a_webhook_that_comes_after_its_order_expired_changes_nothing(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, product: AProduct
) -> None:
    shopper = Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart, card=AT_THE_BANK)).json()
    reference, payment = order["payment"]["provider_reference"], await payment_of(resources, order)
    cancel = f"/v1/orders/{order['id']}/cancel"
    await shopper.send("POST", cancel, json={"reason": "too slow"}, params={"cart": cart})
    before = await shopper.order(order["id"], cart)

    await deliver(api, about(reference, payment, "payment_intent.amount_capturable_updated"))
    await resources.temporal.get_workflow_handle(f"stray:{reference}").result()

    assert await shopper.order(order["id"], cart) == before
    assert await moved_by(sandbox, reference) == []


def about(reference: str, payment: UUID, kind: str) -> dict[str, Any]:
    return {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": kind,
        "data": {"object": {"id": reference, "object": "payment_intent", "metadata": {"payment_id": str(payment)}}},
    }


RETURN = "the customer returns from the bank"
AUTHORIZED = "payment_intent.amount_capturable_updated"
CAPTURED = "payment_intent.succeeded"
CANCELED = "payment_intent.canceled"


@pytest.mark.parametrize("arrivals", [*permutations([RETURN, AUTHORIZED, CAPTURED, CANCELED])])
async def test_whatever_comes_in_whichever_order_and_twice_there_is_one_order_and_one_capture(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    resources: Resources,
    operator: dict[str, str],
    product: AProduct,
    arrivals: tuple[str, ...],
) -> None:
    shopper, desk = Shopper(api), Desk(api, operator)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart, card=AT_THE_BANK)).json()
    reference, payment = order["payment"]["provider_reference"], await payment_of(resources, order)

    for arrival in arrivals:
        if arrival == RETURN:
            await sandbox.post(f"{order['payment']['next_action']['redirect_url']}/complete")
            await shopper.order(order["id"], cart)
        else:
            event = about(reference, payment, arrival)
            answers = await asyncio.gather(deliver(api, event), deliver(api, event))
            assert {answer.status_code for answer in answers} == {200}

    async def is_confirmed() -> bool:
        return bool((await shopper.order(order["id"], cart))["status"] == "confirmed")

    await eventually(is_confirmed)
    parcel = await desk.packs(order)
    await desk.ships(parcel)
    for kind in (CAPTURED, AUTHORIZED, CANCELED):  # and once more, late
        await deliver(api, about(reference, payment, kind))
    after = await shopper.order(order["id"], cart)
    assert (after["status"], after["payment"]["status"], after["needs_attention"]) == ("shipped", "captured", False)
    assert await moved(sandbox, after) == [("authorize", 1499), ("capture", 1499)]
    assert await timeline(shopper, order, cart) == [
        "order.placed",
        "order.payment_requires_action",
        "order.confirmed",
        "fulfillment.created",
        "fulfillment.shipped",
        "order.shipped",
    ]


async def test_an_ordinary_order_is_not_looked_into_as_a_stray(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    resources: Resources,
    operator: dict[str, str],
    product: AProduct,
) -> None:
    order, desk = await an_order(api, (product, 1)), Desk(api, operator)
    await desk.ships(await desk.packs(order))
    reference = order["payment"]["provider_reference"]

    async def is_heard() -> bool:
        async with resources.sessions() as session:
            heard = text("SELECT count(*) FROM webhook_events WHERE payload ->> 'reference' = :ref AND type = :type")
            return bool(await session.scalar(heard, {"ref": reference, "type": CAPTURED}))

    await eventually(is_heard)
    async with resources.sessions() as session:
        listeners = text("SELECT listener FROM webhook_events WHERE payload ->> 'reference' = :ref")
        assert set(await session.scalars(listeners, {"ref": reference})) == {None}
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=49, reserved=0)
