"""What runs out, as staff sees it over HTTP."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, update

from db.catalog import Product
from domain.customers import Role
from runtime.resources import Resources
from tests.api.catalog_calls import adjust, reserve_all
from tests.support.catalog import AProduct, VariantWanted, a_product
from tests.support.staff import headers_of

STOCK = "/v1/admin/stock"


async def rows_of(api: httpx.AsyncClient, headers: dict[str, str], product: AProduct, **params: Any) -> list[Any]:
    """The product's rows, looked for through all pages until those of older products begin."""
    found: list[Any] = []
    while True:
        page = (await api.get(STOCK, params={"limit": 100, **params}, headers=headers)).json()
        found += [row for row in page["items"] if row["product_id"] == str(product.product_id)]
        is_passed = any(row["variant_id"] < str(product.variants[0].variant_id) for row in page["items"])
        if is_passed or page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


class TestStaff:
    async def test_sees_how_much_there_is_of_each_variant_and_what_that_means(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        sizes = [VariantWanted(name=size, stock=stock) for size, stock in (("S", 0), ("M", 5), ("L", 6))]
        product = await a_product(resources.sessions, variants=sizes)
        small, medium, large = product.variants

        rows = {row["sku"]: row for row in await rows_of(api, operator, product)}

        assert rows[medium.sku] == {
            "variant_id": str(medium.variant_id),
            "product_id": str(product.product_id),
            "sku": medium.sku,
            "name": f"{product.name} – M",
            "on_hand": 5,
            "reserved": 0,
            "available": 5,
            "low_stock": 5,
            "has_own_line": False,
            "state": "low",
            "locations": [{"location": "main", "on_hand": 5, "reserved": 0, "available": 5}],
        }
        assert {sku: row["state"] for sku, row in rows.items()} == {
            small.sku: "out",
            medium.sku: "low",
            large.sku: "in",
        }

    @pytest.mark.parametrize(("state", "wanted"), [("out", [0]), ("low", [1]), ("in", [2]), (None, [0, 1, 2])])
    async def test_asks_for_what_is_sold_out_low_or_neither(
        self,
        api: httpx.AsyncClient,
        resources: Resources,
        operator: dict[str, str],
        state: str | None,
        wanted: list[int],
    ) -> None:
        product = await a_product(resources.sessions, variants=[VariantWanted(stock=n) for n in (7, 1, 6)])
        await reserve_all(resources, product.variants[0].variant_id)

        rows = await rows_of(api, operator, product, **({"state": state} if state else {}))

        assert {row["sku"] for row in rows} == {product.variants[index].sku for index in wanted}

    async def test_goes_through_all_of_it_a_page_at_a_time(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, variants=[VariantWanted(stock=0) for _ in range(5)])

        rows = await rows_of(api, operator, product, state="out", limit=2)

        assert [row["sku"] for row in rows] == [variant.sku for variant in reversed(product.variants)]

    async def test_does_not_see_what_is_archived(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, stock=0)
        async with resources.sessions.begin() as session:
            gone = update(Product).where(Product.id == product.product_id).values(archived_at=func.now())
            await session.execute(gone)

        assert await rows_of(api, operator, product) == []

    async def test_draws_a_line_for_one_variant_and_takes_it_away_again(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, stock=30)
        address = f"/v1/variants/{product.variant_id}/low-stock"

        drawn = await api.put(address, json={"quantity": 30}, headers=operator)
        listed = await rows_of(api, operator, product, state="low")
        taken_away = await api.put(address, json={"quantity": None}, headers=operator)

        assert drawn.status_code == taken_away.status_code == 200
        shown = [(row["low_stock"], row["has_own_line"], row["state"]) for row in (drawn.json(), taken_away.json())]
        assert shown == [(30, True, "low"), (5, False, "in")]
        assert listed == [drawn.json()]

    async def test_is_told_when_there_is_no_such_variant(
        self, api: httpx.AsyncClient, operator: dict[str, str]
    ) -> None:
        answer = await api.put(f"/v1/variants/{uuid4()}/low-stock", json={"quantity": 1}, headers=operator)

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    @pytest.mark.parametrize("body", [{}, {"quantity": -1}, {"quantity": "3"}, {"quantity": 1, "line": 2}])
    async def test_is_told_what_a_line_cannot_be(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], body: dict[str, Any]
    ) -> None:
        product = await a_product(resources.sessions, stock=30)

        answer = await api.put(f"/v1/variants/{product.variant_id}/low-stock", json=body, headers=operator)

        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        [row] = await rows_of(api, operator, product)
        assert (row["low_stock"], row["has_own_line"]) == (5, False)

    async def test_sees_a_sold_out_variant_leave_the_list_when_units_come(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, stock=0)
        assert len(await rows_of(api, operator, product, state="out")) == 1

        await adjust(api, operator, product.variant_id, 50)

        assert await rows_of(api, operator, product, state="out") == []


async def test_customers_see_nothing_of_it_and_draw_no_lines(api: httpx.AsyncClient, resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    customer = await headers_of(resources, Role.CUSTOMER)
    line = f"/v1/variants/{product.variant_id}/low-stock"

    refused = [
        await api.get(STOCK, headers=customer),
        await api.put(line, json={"quantity": 1}, headers=customer),
        await api.get(STOCK),
        await api.put(line, json={"quantity": 1}),
    ]

    assert [answer.status_code for answer in refused] == [403, 403, 401, 401]


async def test_a_cursor_of_another_list_is_refused(api: httpx.AsyncClient, operator: dict[str, str]) -> None:
    answer = await api.get(STOCK, params={"cursor": "WzFd"}, headers=operator)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
