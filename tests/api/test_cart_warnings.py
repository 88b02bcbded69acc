"""What a cart warns of before it is ordered."""

from typing import Any

import httpx
from sqlalchemy import text

from api.cart_access import cart_in
from db import baskets
from runtime.resources import Resources
from tests.api.test_carts import a_new_cart, put_in, shown
from tests.support.catalog import VariantWanted, a_product
from tests.support.orders import a_cart, a_placed_order
from tests.support.shopper import Shopper
from tests.support.statements import counted_statements


async def change(resources: Resources, statement: str, **values: Any) -> None:
    async with resources.sessions.begin() as session:
        await session.execute(text(statement), values)


def dollars(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


async def test_a_cart_tells_what_changed_since_things_were_put_in_until_it_was_seen(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    dearer, gone = await a_product(resources.sessions, price="10.00"), await a_product(resources.sessions)
    short, shopper = await a_product(resources.sessions, stock=3), Shopper(api)
    cart = await a_new_cart(shopper)
    for product in (dearer, gone, short):
        assert (await put_in(shopper, cart, product, 3)).json()["warnings"] == []
    await change(resources, "UPDATE prices SET amount = 1250 WHERE variant_id = :id", id=dearer.variant_id)
    await change(resources, "UPDATE products SET is_active = false WHERE id = :id", id=gone.product_id)
    await a_placed_order(resources.sessions, (short.variant_id, 1))  # holds one of the three

    told = await shown(shopper, cart)

    of = {item["sku"]: item["id"] for item in told["items"]}
    nothing = {"was": None, "now": None, "available": None, "quantity": 3}
    of_price = {"code": "price_changed", "was": dollars("10.00"), "now": dollars("12.50")}
    of_stock = {**nothing, "code": "short_stock", "item_id": of[short.sku], "available": 2}
    assert told["warnings"] == [
        {**nothing, **of_price, "item_id": of[dearer.sku]},
        {**nothing, "code": "not_sold", "item_id": of[gone.sku]},
        of_stock,
    ]
    assert told["items"][0]["unit_price"] == dollars("12.50")
    path = f"/v1/carts/{cart['id']}"
    email = await shopper.send("PUT", f"{path}/email", json={"email": "ada@example.com"})
    assert email.json()["warnings"] == told["warnings"]
    seen = await shopper.send("PATCH", f"{path}/items/{of[dearer.sku]}", json={"quantity": 1})
    assert [warning["code"] for warning in seen.json()["warnings"]] == ["not_sold", "short_stock"]
    await change(resources, "UPDATE prices SET amount = 900 WHERE variant_id = :id", id=dearer.variant_id)
    again = (await shown(shopper, cart))["warnings"][0]
    assert (again["code"], again["was"], again["now"]) == ("price_changed", dollars("12.50"), dollars("9.00"))
    acknowledged = await shopper.send("POST", f"{path}/acknowledge-prices")
    assert [warning["code"] for warning in acknowledged.json()["warnings"]] == ["not_sold", "short_stock"]
    assert (await shown(shopper, cart)) == acknowledged.json()


async def test_a_cart_whose_goods_are_reserved_for_it_warns_of_nothing(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, stock=1), Shopper(api)
    cart = {"id": await shopper.a_cart((product.variant_id, 1))}
    assert (await shopper.check_out(cart["id"], card="pm_card_threeDSecure2Required")).status_code == 202

    assert (await shown(shopper, cart))["warnings"] == []


async def test_warnings_take_one_statement_however_many_lines_there_are(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=0, variants=[VariantWanted() for _ in range(20)])
    asked = []
    for lines in (1, 20):
        cart_id = await a_cart(resources.sessions, *((each.variant_id, 1) for each in product.variants[:lines]))
        async with resources.sessions() as session:
            found = await baskets.priced(session, cart_id)
            assert found is not None
            with counted_statements(resources.engine) as statements:
                cart = await cart_in(session, found)
        assert len(cart.warnings) == lines
        asked.append(len(statements))

    assert asked == [1, 1]
