"""A shop whose payloads are encrypted: the engine cannot read them, its operators can."""

from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from temporalio.api.common.v1 import Payloads

from domain.customers import Role
from tests.support.own_shop import OwnShop
from tests.support.staff import headers_of


async def sealed_payloads(shop: OwnShop) -> tuple[dict[str, Any], Any]:
    """What the engine keeps of how an order began."""
    order = await shop.buy()
    history = await shop.resources.temporal.get_workflow_handle(f"order:{order['id']}").fetch_history()
    begun = history.events[0].workflow_execution_started_event_attributes
    return order, MessageToDict(Payloads(payloads=begun.input.payloads))


async def test_the_engine_keeps_what_only_the_shop_can_read(shop: OwnShop) -> None:
    order, sealed = await sealed_payloads(shop)

    history = (await shop.resources.temporal.get_workflow_handle(f"order:{order['id']}").fetch_history()).to_json()
    assert "json/plain" not in history
    assert [set(payload["metadata"]) for payload in sealed["payloads"]] == [{"encoding", "key-id"}]

    told = await shop.http.post("/codec/decode", json=sealed, headers=shop.operator)

    assert told.status_code == 200, told.text
    readable = shop.resources.temporal.data_converter.payload_converter
    [request] = readable.from_payloads(ParseDict(told.json(), Payloads()).payloads, [dict])
    assert request["order_id"] == order["id"]


async def test_nobody_else_has_payloads_decrypted(shop: OwnShop) -> None:
    _, sealed = await sealed_payloads(shop)

    for headers, status in (({}, 401), (await headers_of(shop.resources, Role.CUSTOMER), 403)):
        answer = await shop.http.post("/codec/decode", json=sealed, headers=headers)
        assert (answer.status_code, "payloads" in answer.json()) == (status, False)


async def test_pages_of_the_web_ui_may_ask_and_no_others(shop: OwnShop) -> None:
    asked = await shop.http.options(
        "/codec/decode", headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    )

    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == shop.resources.settings.temporal.ui_url
    assert "authorization" in asked.headers["access-control-allow-headers"]


async def test_what_cannot_be_decrypted_is_given_back_as_it_came(shop: OwnShop) -> None:
    strange = {"payloads": [{"metadata": {"encoding": "YmluYXJ5L2VuY3J5cHRlZA==", "key-id": "eA=="}, "data": "AAAA"}]}

    told = await shop.http.post("/codec/decode", json=strange, headers=shop.operator)

    assert (told.status_code, told.json()) == (200, strange)


async def test_who_asks_the_engine_something_has_it_encrypted_and_nobody_else_has(shop: OwnShop) -> None:
    plain = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "InF1ZXN0aW9uIg=="}]}

    sealed = await shop.http.post("/codec/encode", json=plain, headers=shop.operator)

    assert sealed.status_code == 200, sealed.text
    assert [set(payload["metadata"]) for payload in sealed.json()["payloads"]] == [{"encoding", "key-id"}]
    assert (await shop.http.post("/codec/decode", json=sealed.json(), headers=shop.operator)).json() == plain
    assert (await shop.http.post("/codec/encode", json=plain)).status_code == 401
    customer = await headers_of(shop.resources, Role.CUSTOMER)
    assert (await shop.http.post("/codec/encode", json=plain, headers=customer)).status_code == 403
