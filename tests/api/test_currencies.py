"""One catalogue in several currencies."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from runtime.resources import Resources
from tests.api.catalog_calls import a_new_category, all_pages, names, usd
from tests.support.answers import code_of
from tests.support.catalog import unique


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def jpy(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "JPY"}


@pytest.fixture
async def category(api: httpx.AsyncClient, admin: dict[str, str]) -> str:
    return str((await a_new_category(api, admin, name=unique("Currencies")))["id"])


async def add(api: httpx.AsyncClient, admin: dict[str, str], category: str, **wanted: Any) -> dict[str, Any]:
    body = {"name": unique("Priced"), "category_id": category, "stock_quantity": 5, **wanted}
    made = await api.post("/v1/products", json=body, headers=admin)
    assert made.status_code == 201, made.text
    product: dict[str, Any] = made.json()
    return product


async def read(api: httpx.AsyncClient, product: dict[str, Any], currency: str) -> dict[str, Any] | None:
    shown = await api.get(f"/v1/products/{product['id']}", params={"currency": currency})
    price: dict[str, Any] | None = shown.json()["price"]
    return price


async def test_lists_sort_and_narrow_by_the_prices_of_their_currency_alone(
    api: httpx.AsyncClient, admin: dict[str, str], category: str
) -> None:
    one = await add(api, admin, category, name=unique("One"), prices=[usd("10.00"), eur("12.00"), jpy("900")])
    two = await add(api, admin, category, name=unique("Two"), prices=[usd("11.00"), eur("9.00")])
    listed = {"category": category, "sort": "price"}

    assert names(await api.get("/v1/products", params=listed)) == [one["name"], two["name"]]
    assert names(await api.get("/v1/products", params={**listed, "currency": "EUR"})) == [two["name"], one["name"]]
    assert names(await api.get("/v1/products", params={**listed, "currency": "JPY"})) == [one["name"]]
    cheap = await api.get("/v1/products", params={**listed, "currency": "EUR", "max_price": "10.00"})
    assert [(item["name"], item["price"]) for item in cheap.json()["items"]] == [(two["name"], eur("9.00"))]
    dearest_first = await all_pages(api, category=category, currency="EUR", sort="-price", limit=1)
    assert [item["price"] for item in dearest_first] == [eur("12.00"), eur("9.00")]
    found = await api.get("/v1/products", params={"q": one["name"], "currency": "EUR", "min_price": "11.00"})
    assert names(found) == [one["name"]]
    ranges = (await api.get("/v1/products", params={**listed, "currency": "EUR", "facets": "price"})).json()["facets"]
    assert [(kind["min_price"], kind["count"]) for kind in ranges["price"]] == [(eur("5.00"), 1), (eur("10.00"), 1)]


async def test_a_price_changes_in_its_currency_and_what_is_kept_of_it_is_new_at_once(
    api: httpx.AsyncClient, admin: dict[str, str], category: str
) -> None:
    product = await add(api, admin, category, prices=[usd("10.00"), eur("12.00")])
    path, in_euros = f"/v1/products/{product['id']}", {"category": category, "sort": "price", "currency": "EUR"}
    assert [await read(api, product, currency) for currency in ("USD", "EUR")] == [usd("10.00"), eur("12.00")]
    assert names(await api.get("/v1/products", params=in_euros)) == [product["name"]]

    assert (await api.patch(path, json={"price": eur("8.00")}, headers=admin)).status_code == 200
    assert [await read(api, product, currency) for currency in ("USD", "EUR")] == [usd("10.00"), eur("8.00")]

    assert (await api.patch(path, json={"prices": [usd("9.00"), jpy("1000")]}, headers=admin)).status_code == 200
    assert [await read(api, product, currency) for currency in ("USD", "EUR", "JPY")] == [
        usd("9.00"),
        None,
        jpy("1000"),
    ]
    assert names(await api.get("/v1/products", params=in_euros)) == []
    for_staff = (await api.get(path, headers=admin)).json()
    assert for_staff["variants"][0]["prices"] == [jpy("1000"), usd("9.00")]
    assert "prices" not in (await api.get(path)).json()["variants"][0]


async def test_each_variant_has_prices_of_its_own(
    api: httpx.AsyncClient, admin: dict[str, str], category: str, resources: Resources
) -> None:
    skus = [f"CUR-{uuid4().hex[:8]}" for _ in range(3)]
    made = await api.post(
        "/v1/products",
        json={
            "name": unique("Sizes"),
            "category_id": category,
            "variants": [
                {"sku": skus[0], "prices": [usd("1.00"), eur("1.10")]},
                {"sku": skus[1], "price": usd("2.00")},
            ],
        },
        headers=admin,
    )
    first, second = made.json()["variants"]
    change = {
        "variants": [
            {"id": second["id"], "prices": [eur("2.20")]},
            {"sku": skus[2], "prices": [eur("3.30"), usd("3.00")]},
        ]
    }
    assert (await api.patch(f"/v1/products/{made.json()['id']}", json=change, headers=admin)).status_code == 200

    shown = (await api.get(f"/v1/products/{made.json()['id']}", headers=admin)).json()["variants"]
    assert {variant["sku"]: variant["prices"] for variant in shown} == {
        skus[0]: [eur("1.10"), usd("1.00")],
        skus[1]: [eur("2.20")],
        skus[2]: [eur("3.30"), usd("3.00")],
    }
    assert first["price"] == usd("1.00")


@pytest.mark.parametrize(
    ("prices", "pointer"),
    [
        ({"prices": []}, "/prices"),
        ({"prices": [usd("1.00"), usd("2.00")]}, "/prices"),
        ({"prices": [usd("1.00")], "price": eur("1.00")}, ""),
        ({"prices": [eur("1.000")]}, "/prices/0"),
        ({"prices": [eur("-1.00")]}, "/prices/0"),
    ],
    ids=["none", "twice", "both", "digits", "below zero"],
)
async def test_prices_that_contradict_each_other_are_refused(
    api: httpx.AsyncClient, admin: dict[str, str], category: str, prices: dict[str, Any], pointer: str
) -> None:
    product = await add(api, admin, category, price=usd("5.00"))

    refused = await api.patch(f"/v1/products/{product['id']}", json=prices, headers=admin)

    assert code_of(refused) == (422, "validation_failed")
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert await read(api, product, "USD") == usd("5.00")


async def test_a_cart_has_the_prices_of_its_own_currency_and_takes_nothing_that_has_none(
    api: httpx.AsyncClient, admin: dict[str, str], category: str
) -> None:
    product = await add(api, admin, category, prices=[usd("10.00"), eur("12.00")])
    wanted = {"variant_id": product["variants"][0]["id"], "quantity": 2}
    for currency, total in (("USD", usd("20.00")), ("EUR", eur("24.00"))):
        cart = (await api.post("/v1/carts", json={"currency": currency})).json()
        filled = await api.post(f"/v1/carts/{cart['id']}/items", json=wanted)
        assert filled.json()["totals"]["total"] == total
    in_yen = (await api.post("/v1/carts", json={"currency": "JPY"})).json()
    assert code_of(await api.post(f"/v1/carts/{in_yen['id']}/items", json=wanted)) == (422, "validation_failed")
