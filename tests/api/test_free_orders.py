"""Orders that cost nothing: the same way as all others, and nobody is asked for money."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_operators import Desk, is_problem
from tests.api.test_shipping_rates import Staff, going_to, priced
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.shopper import ADDRESS, Shopper


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


@pytest.fixture
async def for_free(api: httpx.AsyncClient, admin: dict[str, str]) -> AsyncIterator[str]:
    """A way of shipping that costs nothing, to the Faroe Islands."""
    staff = Staff(api, admin)
    yield await staff.method(going_to(await staff.zone({"country": "FO"}), priced((0, "0.00"))))
    await staff.clean_up()


async def a_free_order(api: httpx.AsyncClient, product: AProduct, method: str, **how: Any) -> dict[str, Any]:
    shopper = Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 2))
    await shopper.send("PUT", f"/v1/carts/{cart}/shipping-address", json={**ADDRESS, "country": "FO"})
    await shopper.send("PUT", f"/v1/carts/{cart}/shipping-method", json={"code": method})
    answer = await shopper.check_out(cart, **how)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    assert order["totals"]["total"] == {"amount": "0.00", "currency": "USD"}
    return order


@pytest.mark.parametrize("card", ["pm_card_visa", "pm_card_visa_chargeDeclined", {"provider": "manual"}], ids=str)
async def test_an_order_that_costs_nothing_is_confirmed_at_once_and_goes_to_the_door(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, for_free: str, card: Any
) -> None:
    product = await a_product(resources.sessions, price="0.00", stock=5)

    order = await a_free_order(api, product, for_free, card=card)

    assert (order["status"], order["payment"]["status"], order["payment"]["provider"]) == (
        "confirmed",
        "authorized",
        "nothing",
    )
    first = await desk.packs(order, (order["items"][0]["id"], 1))
    second = await desk.packs(order)
    for parcel in (first, second):
        await desk.ships(parcel)
    shipped = await desk.order(order)
    assert (shipped["status"], shipped["payment"]["status"]) == ("shipped", "captured")
    for parcel in (first, second):
        assert (await desk.post(f"/fulfillments/{parcel}/deliver")).status_code == 200
    refused = await desk.post(f"/orders/{order['id']}/refunds", {"reason": "kindness"})
    is_problem(refused, 409, "refund_exceeds_captured")
    after = await desk.order(order)
    assert (after["status"], after["needs_attention"], after["refunds"]) == ("delivered", False, [])
    assert (await desk.order(order))["payment"]["provider_reference"] is None
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)


async def test_an_order_that_costs_nothing_is_cancelled_and_its_goods_go_back(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, for_free: str
) -> None:
    product = await a_product(resources.sessions, price="0.00", stock=5)
    order = await a_free_order(api, product, for_free)
    one = {"items": [{"order_item_id": order["items"][0]["id"], "quantity": 1}], "reason": "one is enough"}

    fewer = await api.post(f"/v1/orders/{order['id']}/cancel", json=one, headers=desk.headers)
    none = await api.post(f"/v1/orders/{order['id']}/cancel", json={"reason": "none at all"}, headers=desk.headers)

    assert (fewer.status_code, fewer.json()["items"][0]["cancelled_quantity"]) == (200, 1), fewer.text
    assert (none.status_code, none.json()["status"], none.json()["payment"]["status"]) == (200, "cancelled", "voided")
    assert (await desk.order(order))["payment"]["provider_reference"] is None
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_what_cost_nothing_comes_back_without_a_refund(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, for_free: str
) -> None:
    product = await a_product(resources.sessions, price="0.00", stock=5)
    order = await a_free_order(api, product, for_free)
    parcel = await desk.packs(order)
    await desk.ships(parcel)
    await desk.post(f"/fulfillments/{parcel}/deliver")
    wish = {"items": [{"order_item_id": order["items"][0]["id"], "quantity": 2, "reason": "not needed"}]}
    back = await api.post(f"/v1/orders/{order['id']}/returns", json=wish, headers=desk.headers)
    assert back.status_code == 201, back.text
    for move in ("approve", "receive"):
        answer = await desk.post(f"/returns/{back.json()['id']}/{move}")
        assert answer.status_code == 200, answer.text

    after = await desk.order(order)
    assert (after["refunds"], after["needs_attention"]) == ([], False)
    assert after["returns"][0]["refund_id"] is None
    assert (await desk.order(order))["payment"]["provider_reference"] is None
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
