"""More customers than goods."""

import asyncio
from collections import Counter

import httpx
import pytest
from sqlalchemy import text

from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.support.catalog import a_product, ledger_of, stock_of
from tests.support.orders import a_cart
from tests.support.shopper import Shopper


@pytest.mark.timeout(300)
@pytest.mark.matrix("checkout: too little stock, another price, or a code that somebody else used up")
async def test_200_customers_for_10_units_make_10_orders(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions, price="25.00", stock=10)
    shopper = Shopper(api)
    carts = [str(await a_cart(resources.sessions, (product.variant_id, 1))) for _ in range(200)]

    answers = await asyncio.gather(*(shopper.check_out(cart) for cart in carts))

    assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 190}
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {problem["code"] for problem in refused} == {"out_of_stock"}
    assert {problem["items"][0]["available"] for problem in refused} == {0}
    orders = [answer.json() for answer in answers if answer.status_code == 201]
    assert {order["status"] for order in orders} == {"confirmed"}
    # The ten units belong to the ten orders, and nothing else holds any.
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=10, reserved=10)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=10, reserved=10)
    async with resources.sessions() as session:
        rows = await session.execute(
            text(
                "SELECT (SELECT count(*) FROM orders WHERE cart_id = ANY(:carts)), "
                "(SELECT count(*) FROM stock_holds WHERE variant_id = :variant), "
                "(SELECT count(*) FROM checkouts WHERE cart_id = ANY(:carts) AND NOT is_refused)"
            ),
            {"carts": carts, "variant": product.variant_id},
        )
        assert rows.one() == (10, 10, 10)
    for order in orders:
        ledger = await sandbox.get("/ledger", params={"payment_intent": order["payment"]["provider_reference"]})
        [movement] = ledger.json()["items"]
        assert (movement["kind"], movement["amount"]) == ("authorize", 2999)


async def test_when_all_orders_of_the_last_units_are_shipped_nothing_is_left_anywhere(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> None:
    product = await a_product(resources.sessions, price="25.00", stock=2)
    shopper = Shopper(api)
    for _ in range(2):
        cart = await shopper.a_cart((product.variant_id, 1))
        order = (await shopper.check_out(cart)).json()
        parcel = await api.post(f"/v1/admin/orders/{order['id']}/fulfillments", json={}, headers=operator)
        shipped = await api.post(
            f"/v1/admin/fulfillments/{parcel.json()['id']}/ship",
            json={"carrier": "UPS", "tracking_number": "1Z999"},
            headers=operator,
        )
        assert shipped.status_code == 200, shipped.text

    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=0, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=0, reserved=0)
