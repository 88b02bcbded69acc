"""Looking through the products over HTTP, against the real server."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from runtime.resources import Resources
from tests.api.catalog_calls import adjust, all_pages, names, reserve_all, usd
from tests.support.catalog import VariantWanted, a_category, a_product, unique


class TestAProduct:
    async def test_is_shown_by_id_and_by_slug_with_price_and_stock_at_the_top(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        category_id = await a_category(resources.sessions)
        product = await a_product(resources.sessions, price="19.99", stock=7, brand="Acme", category_id=category_id)

        by_id = await api.get(f"/v1/products/{product.product_id}")
        by_slug = await api.get(f"/v1/products/{product.slug}")

        assert by_id.status_code == by_slug.status_code == 200
        assert by_id.content == by_slug.content
        body = by_id.json()
        category, created_at, updated_at = body.pop("category"), body.pop("created_at"), body.pop("updated_at")
        assert category["id"] == str(category_id)
        assert created_at == updated_at
        assert created_at.endswith("Z")
        assert body == {
            "id": str(product.product_id),
            "slug": product.slug,
            "name": product.name,
            "description": "",
            "brand": "Acme",
            "is_active": True,
            "tags": [],
            "attributes": {},
            "published_from": None,
            "published_until": None,
            "tax_class": "standard",
            "variants": [
                {
                    "id": str(product.variant_id),
                    "sku": product.sku,
                    "name": product.name,
                    "price": usd("19.99"),
                    "stock_quantity": 7,
                    "options": {},
                    "weight_grams": 0,
                }
            ],
            "price": usd("19.99"),
            "stock_quantity": 7,
        }

    async def test_with_several_variants_has_no_single_price(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        sizes = [
            VariantWanted(name=size, options={"size": size}, price=price)
            for size, price in (("S", "5.00"), ("L", "6.00"))
        ]
        product = await a_product(resources.sessions, variants=sizes)

        body = (await api.get(f"/v1/products/{product.slug}")).json()

        assert body["price"] is None
        assert body["stock_quantity"] is None
        assert [(v["name"], v["price"], v["options"]) for v in body["variants"]] == [
            ("S", usd("5.00"), {"size": "S"}),
            ("L", usd("6.00"), {"size": "L"}),
        ]

    async def test_shows_no_price_in_a_currency_it_is_not_sold_in(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        product = await a_product(resources.sessions, price="500", currency="JPY")

        assert (await api.get(f"/v1/products/{product.slug}")).json()["price"] is None
        in_yen = (await api.get(f"/v1/products/{product.slug}", params={"currency": "JPY"})).json()
        assert in_yen["price"] == {"amount": "500", "currency": "JPY"}

    async def test_that_is_inactive_is_there_for_staff_only(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, is_active=False)

        for_public = await api.get(f"/v1/products/{product.slug}")
        for_staff = await api.get(f"/v1/products/{product.slug}", headers=operator)

        assert for_public.status_code == 404
        assert for_public.json()["code"] == "not_found"
        assert for_staff.json()["is_active"] is False
        assert for_staff.headers["cache-control"] == "private, no-store"
        assert names(await api.get("/v1/products", params={"q": product.name})) == []

    @pytest.mark.parametrize(
        "address", ["no-such-product", "01900000-0000-7000-8000-000000000000", "%00", "%ff", "a%20b"]
    )
    async def test_that_does_not_exist_is_not_found(self, api: httpx.AsyncClient, address: str) -> None:
        assert (await api.get(f"/v1/products/{address}")).status_code == 404

    async def test_is_not_sent_again_while_it_is_unchanged(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, stock=3)
        address = f"/v1/products/{product.product_id}"
        first = await api.get(address)
        tag = first.headers["etag"]

        again = await api.get(address, headers={"If-None-Match": f'"other", {tag}'})
        await adjust(api, operator, product.variant_id, -1)
        after_a_sale = await api.get(address, headers={"If-None-Match": tag})

        assert tag.startswith('"')
        assert first.headers["cache-control"] == "public, max-age=0, must-revalidate"
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert after_a_sale.status_code == 200
        assert after_a_sale.json()["stock_quantity"] == 2
        assert after_a_sale.headers["etag"] != tag


class TestAList:
    async def test_goes_through_all_pages_without_gaps_in_every_order(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        brand = unique("Brand")
        prices = ["3.00", "1.00", "2.00", "2.00", "1.00"]
        made = [
            await a_product(resources.sessions, brand=brand, price=price, name=f"{name} {brand}")
            for name, price in zip("bdace", prices, strict=True)
        ]
        newest = [product.name for product in reversed(made)]

        async def order(sort: str) -> list[str]:
            return [item["name"] for item in await all_pages(api, brand=brand, sort=sort, limit=2)]

        assert await order("newest") == newest
        assert await order("relevance") == newest
        assert await order("name") == sorted(newest)
        by_price = await order("price")
        assert [name[0] for name in by_price] == ["d", "e", "a", "c", "b"]
        assert await order("-price") == by_price[::-1]

    async def test_keeps_its_place_while_products_are_added(self, api: httpx.AsyncClient, resources: Resources) -> None:
        brand = unique("Brand")
        old = [await a_product(resources.sessions, brand=brand) for _ in range(3)]
        first = (await api.get("/v1/products", params={"brand": brand, "limit": 2})).json()
        await a_product(resources.sessions, brand=brand)

        second = await api.get("/v1/products", params={"brand": brand, "limit": 2, "cursor": first["next_cursor"]})

        assert names(second) == [old[0].name]

    @pytest.mark.parametrize("sort", ["relevance", "name"])
    async def test_goes_on_after_the_last_page_of_a_search(
        self, api: httpx.AsyncClient, resources: Resources, sort: str
    ) -> None:
        word = f"w{uuid4().hex[:10]}"
        for number in range(5):
            await a_product(resources.sessions, name=f"{word} number {number}")

        found = [item["name"] for item in await all_pages(api, q=word, sort=sort, limit=2)]

        assert sorted(found) == [f"{word} number {number}" for number in range(5)]

    async def test_is_searched_by_the_beginnings_of_words_names_first(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        word = f"w{uuid4().hex[:10]}"
        described = await a_product(resources.sessions, description=f"Goes well with {word}isch")
        named = await a_product(resources.sessions, name=f"{word}ish blue kettle")
        await a_product(resources.sessions, name=f"x{word}")

        assert names(await api.get("/v1/products", params={"q": word.upper()})) == [named.name, described.name]
        assert names(await api.get("/v1/products", params={"q": f"ket {word} BLU"})) == [named.name]
        assert names(await api.get("/v1/products", params={"q": f"{word} red"})) == []

    async def test_of_a_category_includes_the_categories_below(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        top = await a_category(resources.sessions)
        below = await a_category(resources.sessions, parent_id=top)
        shelf = await a_product(resources.sessions, category_id=below)
        await a_product(resources.sessions, category_id=await a_category(resources.sessions))
        slug = (await api.get(f"/v1/products/{shelf.slug}")).json()["category"]["slug"]

        for category in (str(top), str(below), slug):
            assert names(await api.get("/v1/products", params={"category": category})) == [shelf.name]
        assert names(await api.get("/v1/products", params={"category": "no-such-category"})) == []

    async def test_can_be_limited_to_a_price_range(self, api: httpx.AsyncClient, resources: Resources) -> None:
        brand = unique("Brand")
        cheap, dear = [await a_product(resources.sessions, brand=brand, price=price) for price in ("9.99", "10.00")]

        async def found(**params: str) -> list[str]:
            return names(await api.get("/v1/products", params={"brand": brand, "sort": "price", **params}))

        assert await found(max_price="9.99") == [cheap.name]
        assert await found(min_price="10") == [dear.name]
        assert await found(min_price="9.99", max_price="10.00") == [cheap.name, dear.name]
        assert await found(min_price="5", currency="EUR") == []

    async def test_in_stock_counts_what_orders_hold(self, api: httpx.AsyncClient, resources: Resources) -> None:
        brand = unique("Brand")
        free, held = [await a_product(resources.sessions, brand=brand, stock=1) for _ in range(2)]
        await reserve_all(resources, held.variant_id)

        assert names(await api.get("/v1/products", params={"brand": brand, "in_stock": "true"})) == [free.name]
        sold_out = await api.get("/v1/products", params={"brand": brand, "in_stock": "false"})
        assert names(sold_out) == [held.name]
        assert sold_out.json()["items"][0]["stock_quantity"] == 0

    async def test_counts_what_choosing_a_facet_would_give(self, api: httpx.AsyncClient, resources: Resources) -> None:
        word, acme, zeta = f"w{uuid4().hex[:10]}", unique("Acme"), unique("Zeta")
        top = await a_category(resources.sessions)
        below = await a_category(resources.sessions, parent_id=top)
        for brand, category in ((acme, top), (acme, below), (zeta, below)):
            await a_product(resources.sessions, name=unique(word), brand=brand, category_id=category)

        page = await api.get("/v1/products", params={"q": word, "brand": acme, "facets": "category,brand"})

        assert len(page.json()["items"]) == 2
        facets = page.json()["facets"]
        assert facets["brand"] == [{"value": acme, "count": 2}, {"value": zeta, "count": 1}]
        assert [(count["id"], count["count"]) for count in facets["category"]] == [(str(top), 2), (str(below), 1)]
        assert "facets" not in (await api.get("/v1/products", params={"limit": 1})).json()

    async def test_is_not_sent_again_while_it_is_unchanged(self, api: httpx.AsyncClient, resources: Resources) -> None:
        brand = unique("Brand")
        await a_product(resources.sessions, brand=brand)
        first = await api.get("/v1/products", params={"brand": brand})

        again = await api.get("/v1/products", params={"brand": brand}, headers={"If-None-Match": first.headers["etag"]})

        assert (again.status_code, again.content) == (304, b"")

    @pytest.mark.parametrize(
        ("params", "pointer"),
        [
            ({"limit": 0}, "/limit"),
            ({"limit": 101}, "/limit"),
            ({"sort": "cheapest"}, "/sort"),
            ({"min_price": "1.234"}, "/min_price"),
            ({"max_price": "cheap"}, "/max_price"),
            ({"facets": "colour"}, "/facets"),
            ({"currency": "XXX"}, "/currency"),
            ({"brand": "\0"}, "/brand"),
            ({"category": "\0"}, "/category"),
        ],
    )
    async def test_says_which_parameter_is_wrong(
        self, api: httpx.AsyncClient, params: dict[str, Any], pointer: str
    ) -> None:
        answer = await api.get("/v1/products", params=params)

        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert answer.json()["errors"][0]["pointer"] == pointer

    async def test_refuses_a_cursor_of_another_order(self, api: httpx.AsyncClient, resources: Resources) -> None:
        brand = unique("Brand")
        for _ in range(2):
            await a_product(resources.sessions, brand=brand)
        first = (await api.get("/v1/products", params={"brand": brand, "limit": 1, "sort": "name"})).json()

        for cursor in (first["next_cursor"], "forged", "bnVsbA", "WzEsMiwzXQ"):
            answer = await api.get("/v1/products", params={"cursor": cursor, "sort": "price"})
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
