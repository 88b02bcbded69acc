"""Orders are sent elsewhere by those whose they are, and by operators, until something has left."""

from uuid import UUID

import httpx
from sqlalchemy import text

from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_carts import is_problem
from tests.support.catalog import a_product
from tests.support.shopper import ADDRESS, Shopper
from tests.support.staff import headers_of

WHOLE = {"line2": None, "phone": None}


async def test_an_order_goes_elsewhere_until_something_of_it_has_left(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> None:
    product = await a_product(resources.sessions, stock=9)
    guest, stranger = Shopper(api), Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))
    cart = await guest.a_cart((product.variant_id, 2))
    order = (await guest.check_out(cart)).json()
    path = f"/v1/orders/{order['id']}"
    aunt, uncle = ({**ADDRESS, "line1": f"{number} Planted Street"} for number in (1, 2))

    mine = await guest.send("PUT", f"{path}/shipping-address", json=aunt, params={"cart": cart})
    assert (mine.status_code, mine.json()["shipping_address"]) == (200, {**aunt, **WHOLE})
    is_problem(await stranger.send("PUT", f"{path}/shipping-address", json=uncle), 404, "not_found")
    desk = await api.put(f"{path}/shipping-address", json=uncle, headers=operator)
    assert (desk.status_code, desk.json()["shipping_address"]) == (200, {**uncle, **WHOLE})

    lines = [{"order_item_id": order["items"][0]["id"], "quantity": 1}]
    packed = await api.post(f"/v1/admin/orders/{order['id']}/fulfillments", json={"items": lines}, headers=operator)
    label = {"carrier": "UPS", "tracking_number": "1Z999"}
    shipped = await api.post(f"/v1/admin/fulfillments/{packed.json()['id']}/ship", json=label, headers=operator)
    assert shipped.status_code == 200, shipped.text

    late = await guest.send("PUT", f"{path}/shipping-address", json=aunt, params={"cart": cart})
    refused = is_problem(late, 409, "address_not_changeable")
    assert (refused["current_status"], refused["allowed"]) == ("confirmed", ["shipped"])
    assert (await guest.order(order["id"], cart))["shipping_address"] == {**uncle, **WHOLE}
    events = (await guest.send("GET", f"{path}/events", params={"cart": cart})).json()["items"]
    told = [event["actor"].partition(":")[0] for event in events if event["type"] == "order.address_changed"]
    assert told == ["guest", "operator"]
    assert "Planted" not in str(events)
    async with resources.sessions() as session:
        entries = await session.execute(
            text("SELECT action, note FROM audit_log WHERE order_id = :id AND actor LIKE 'operator:%'"),
            {"id": UUID(order["id"])},
        )
        assert ("change_address", None) in entries.all()


async def test_an_order_at_the_bank_goes_where_its_cart_said(api: httpx.AsyncClient, resources: Resources) -> None:
    product, guest = await a_product(resources.sessions), Shopper(api)
    cart = await guest.a_cart((product.variant_id, 1))
    order = (await guest.check_out(cart, card="pm_card_threeDSecure2Required")).json()

    answer = await guest.send("PUT", f"/v1/orders/{order['id']}/shipping-address", json=ADDRESS, params={"cart": cart})

    assert is_problem(answer, 409, "address_not_changeable")["current_status"] == "pending"
