"""A cart becomes an order, over HTTP, with everything real."""

import httpx

from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.shopper import Shopper


async def test_a_guest_buys_something(api: httpx.AsyncClient, resources: Resources) -> None:
    product = await a_product(resources.sessions, price="19.99", stock=5)
    shopper = Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 2))

    response = await shopper.check_out(cart)

    assert response.status_code == 201, response.text
    order = response.json()
    assert order["status"] == "confirmed"
    assert order["payment"]["status"] == "authorized"
    assert order["totals"]["total"] == {"amount": "44.97", "currency": "USD"}
