"""Products, categories and stock over HTTP, against the real server."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.support.catalog import VariantWanted, a_category, a_product, ledger_of, stock_of, unique
from tests.support.staff import headers_of


@pytest.fixture
async def admin(resources: Resources) -> dict[str, str]:
    return await headers_of(resources, Role.ADMIN)


@pytest.fixture
async def operator(resources: Resources) -> dict[str, str]:
    return await headers_of(resources, Role.OPERATOR)


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def names(page: httpx.Response) -> list[str]:
    assert page.status_code == 200, page.text
    return [item["name"] for item in page.json()["items"]]


async def all_pages(api: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        page = (await api.get("/v1/products", params=params)).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        params["cursor"] = page["next_cursor"]


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
            "variants": [
                {
                    "id": str(product.variant_id),
                    "sku": product.sku,
                    "name": product.name,
                    "price": usd("19.99"),
                    "stock_quantity": 7,
                    "options": {},
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


class TestAdmins:
    async def test_add_a_product_with_one_variant(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        category_id = str(await a_category(resources.sessions))
        name = unique("Coffee Mug")
        wanted = {"name": name, "category_id": category_id, "price": usd("7.50"), "stock_quantity": 4}

        made = await api.post("/v1/products", json=wanted, headers=admin)

        assert made.status_code == 201, made.text
        body = made.json()
        assert (body["price"], body["stock_quantity"], body["category"]["id"]) == (usd("7.50"), 4, category_id)
        assert body["slug"] == name.lower().replace(" ", "-")
        assert (await api.get(f"/v1/products/{body['slug']}")).content == made.content
        assert await ledger_of(resources.sessions, body["variants"][0]["id"]) == StockLevel(on_hand=4, reserved=0)

    async def test_add_a_product_with_several_variants(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        category_id = str(await a_category(resources.sessions))
        skus = [f"T-{uuid4().hex[:8]}" for _ in "SM"]
        variants = [
            {"sku": sku, "price": usd("19.00"), "stock_quantity": 2, "options": {"size": size}}
            for sku, size in zip(skus, "SM", strict=True)
        ]

        made = await api.post(
            "/v1/products",
            json={"name": unique("Tee"), "category_id": category_id, "variants": variants},
            headers=admin,
        )

        assert made.status_code == 201, made.text
        assert [(v["sku"], v["name"], v["stock_quantity"]) for v in made.json()["variants"]] == [
            (skus[0], "S", 2),
            (skus[1], "M", 2),
        ]

    async def test_may_give_two_products_the_same_name(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        wanted = {"name": unique("Mug"), "category_id": str(await a_category(resources.sessions)), "price": usd("1.00")}

        first, second = [(await api.post("/v1/products", json=wanted, headers=admin)).json() for _ in range(2)]

        assert second["slug"].startswith(f"{first['slug']}-")

    async def test_cannot_use_a_sku_twice(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        taken = await a_product(resources.sessions)
        name = unique("Copy")
        wanted = {
            "name": name,
            "category_id": str(await a_category(resources.sessions)),
            "price": usd("1.00"),
            "sku": taken.sku,
        }

        answer = await api.post("/v1/products", json=wanted, headers=admin)

        assert (answer.status_code, answer.json()["code"]) == (409, "sku_taken")
        assert names(await api.get("/v1/products", params={"q": name})) == []

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"category_id": str(uuid4())}, "/category_id"),
            ({"category_id": "kitchen"}, "/category_id"),
            ({"nmae": "typo"}, "/nmae"),
            ({"name": ""}, "/name"),
            ({"name": "nul \0"}, "/name"),
            ({"price": {"amount": "1.5", "currency": "USD"}}, "/price"),
            ({"price": {"amount": "-1.00", "currency": "USD"}}, "/price"),
            ({"price": 1.5}, "/price"),
            ({"stock_quantity": -1}, "/stock_quantity"),
            ({"stock_quantity": 2.5}, "/stock_quantity"),
            ({"variants": []}, "/variants"),
            ({"price": None}, ""),
        ],
    )
    async def test_are_told_which_field_is_wrong(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str], change: dict[str, Any], pointer: str
    ) -> None:
        name = unique("Wrong")
        right = {"name": name, "category_id": str(await a_category(resources.sessions)), "price": usd("1.00")}

        answer = await api.post("/v1/products", json=right | change, headers=admin)

        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer
        assert names(await api.get("/v1/products", params={"q": name})) == []

    async def test_change_a_product_only_on_the_version_they_know(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions)
        address = f"/v1/products/{product.product_id}"
        known = (await api.get(address)).headers["etag"]

        first = await api.patch(address, json={"name": "First"}, headers=admin | {"If-Match": known})
        second = await api.patch(address, json={"name": "Second"}, headers=admin | {"If-Match": known})
        archived = await api.delete(address, headers=admin | {"If-Match": known})

        assert (first.status_code, first.json()["name"]) == (200, "First")
        assert (second.status_code, second.json()["code"]) == (412, "precondition_failed")
        assert archived.status_code == 412
        assert (await api.get(address)).json()["name"] == "First"
        third = await api.patch(address, json={"name": "Third"}, headers=admin | {"If-Match": first.headers["etag"]})
        assert third.status_code == 200

    async def test_may_change_a_product_while_it_is_being_sold(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, stock=5)
        address = f"/v1/products/{product.product_id}"
        known = (await api.get(address)).headers["etag"]
        await adjust(api, admin, product.variant_id, -1)

        changed = await api.patch(address, json={"name": "New"}, headers=admin | {"If-Match": known})

        assert changed.status_code == 200
        assert changed.json()["stock_quantity"] == 4

    async def test_change_the_price_and_sku_of_the_only_variant(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, price="5.00")
        sku = f"N-{uuid4().hex[:8]}"

        changed = await api.patch(
            f"/v1/products/{product.product_id}", json={"price": usd("6.00"), "sku": sku}, headers=admin
        )

        assert changed.status_code == 200, changed.text
        assert changed.json()["variants"][0]["sku"] == sku
        assert changed.json()["price"] == usd("6.00")
        assert changed.json()["name"] == product.name

    async def test_change_and_add_variants(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        sizes = [VariantWanted(name=size, options={"size": size}) for size in "SM"]
        product = await a_product(resources.sessions, price="5.00", variants=sizes)
        address = f"/v1/products/{product.product_id}"
        small = str(product.variants[0].variant_id)

        unclear = await api.patch(address, json={"price": usd("6.00")}, headers=admin)
        strange = await api.patch(address, json={"variants": [{"id": str(uuid4()), "name": "X"}]}, headers=admin)
        changed = await api.patch(
            address,
            json={
                "variants": [
                    {"id": small, "price": usd("4.00")},
                    {"price": usd("7.00"), "options": {"size": "L"}, "stock_quantity": 3},
                ]
            },
            headers=admin,
        )

        assert (unclear.status_code, unclear.json()["errors"][0]["pointer"]) == (422, "/price")
        assert (strange.status_code, strange.json()["errors"][0]["pointer"]) == (422, "/variants/0/id")
        assert [(v["name"], v["price"]["amount"], v["stock_quantity"]) for v in changed.json()["variants"]] == [
            ("S", "4.00", 10),
            ("M", "5.00", 10),
            ("L", "7.00", 3),
        ]

    async def test_archive_a_product(self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]) -> None:
        product = await a_product(resources.sessions)
        address = f"/v1/products/{product.product_id}"

        assert (await api.delete(address, headers=admin)).status_code == 204

        assert (await api.get(address)).status_code == 404
        assert names(await api.get("/v1/products", params={"q": product.name})) == []
        assert (await api.delete(address, headers=admin)).status_code == 404
        assert (await api.patch(address, json={"name": "Back"}, headers=admin)).status_code == 404

    async def test_alone_may_write(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions)
        customer = await headers_of(resources, Role.CUSTOMER)
        address = f"/v1/products/{product.product_id}"
        for method, url in (
            ("POST", "/v1/products"),
            ("PATCH", address),
            ("DELETE", address),
            ("POST", "/v1/categories"),
            ("PATCH", f"/v1/categories/{uuid4()}"),
        ):
            assert (await api.request(method, url, json={})).status_code == 401
            assert (await api.request(method, url, json={}, headers=customer)).status_code == 403
            assert (await api.request(method, url, json={}, headers=operator)).status_code == 403
        assert (await api.get(address)).json()["name"] == product.name


class TestCategories:
    async def test_are_shown_as_a_tree(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        name = unique("Kitchen")
        top = await a_new_category(api, admin, name=name)
        for child, position in (("Cups", 2), ("Pots", 1)):
            await a_new_category(api, admin, name=child, parent_id=top["id"], position=position)

        tree = await api.get("/v1/categories")

        node = next(node for node in tree.json()["items"] if node["id"] == top["id"])
        assert (node["slug"], node["parent_id"]) == (name.lower().replace(" ", "-"), None)
        assert [(child["name"], child["children"]) for child in node["children"]] == [("Pots", []), ("Cups", [])]
        again = await api.get("/v1/categories", headers={"If-None-Match": tree.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")

    async def test_can_be_renamed_on_the_version_that_is_known(
        self, api: httpx.AsyncClient, admin: dict[str, str]
    ) -> None:
        made = await api.post("/v1/categories", json={"name": unique("Old")}, headers=admin)
        address, known = f"/v1/categories/{made.json()['id']}", {"If-Match": made.headers["etag"]}

        first = await api.patch(address, json={"name": "New"}, headers=admin | known)
        second = await api.patch(address, json={"name": "Newer"}, headers=admin | known)

        assert (first.status_code, first.json()["name"]) == (200, "New")
        assert second.status_code == 412
        assert first.json()["slug"] == made.json()["slug"]

    async def test_cannot_be_moved_below_themselves(self, api: httpx.AsyncClient, admin: dict[str, str]) -> None:
        top = await a_new_category(api, admin, name=unique("Top"))
        below = await a_new_category(api, admin, name=unique("Below"), parent_id=top["id"])

        for parent in (top["id"], below["id"], str(uuid4())):
            answer = await api.patch(f"/v1/categories/{top['id']}", json={"parent_id": parent}, headers=admin)
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/parent_id")

    async def test_are_at_most_eight_deep(self, api: httpx.AsyncClient, admin: dict[str, str]) -> None:
        parent = None
        for _ in range(8):
            parent = (await a_new_category(api, admin, name=unique("Level"), parent_id=parent))["id"]

        answer = await api.post("/v1/categories", json={"name": "Ninth", "parent_id": parent}, headers=admin)

        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/parent_id")

    async def test_cannot_share_a_slug_that_was_asked_for(self, api: httpx.AsyncClient, admin: dict[str, str]) -> None:
        first = await a_new_category(api, admin, name=unique("Cups"))

        taken = await api.post("/v1/categories", json={"name": "Cups", "slug": first["slug"]}, headers=admin)
        same_name = await a_new_category(api, admin, name=first["name"])

        assert (taken.status_code, taken.json()["code"]) == (409, "slug_taken")
        assert same_name["slug"].startswith(f"{first['slug']}-")


class TestStock:
    async def test_is_adjusted_with_a_ledger_entry(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, stock=10)

        taken = await adjust(api, operator, product.variant_id, -3)
        added = await adjust(api, operator, product.variant_id, 5)

        assert (taken.status_code, taken.json()) == (201, {"on_hand": 7, "reserved": 0, "available": 7})
        assert added.json() == {"on_hand": 12, "reserved": 0, "available": 12}
        assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=12, reserved=0)

    async def test_cannot_be_taken_below_what_orders_hold(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, stock=10)
        await reserve_all(resources, product.variant_id)

        answer = await adjust(api, operator, product.variant_id, -1)

        assert answer.status_code == 409
        facts = {key: answer.json()[key] for key in ("code", "on_hand", "reserved", "available")}
        assert facts == {"code": "insufficient_stock", "on_hand": 10, "reserved": 10, "available": 0}
        assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=10, reserved=10)
        assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=10, reserved=10)

    async def test_is_never_taken_twice_by_adjustments_at_the_same_time(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        product = await a_product(resources.sessions, stock=10)

        answers = await asyncio.gather(*(adjust(api, operator, product.variant_id, -1) for _ in range(50)))

        assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 40
        assert sorted(answer.json()["on_hand"] for answer in answers if answer.status_code == 201) == list(range(10))
        assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=0, reserved=0)
        assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=0, reserved=0)

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"quantity_change": 0, "reason": "none"}, "/quantity_change"),
            ({"quantity_change": 1.5, "reason": "half"}, "/quantity_change"),
            ({"quantity_change": 10**12, "reason": "lots"}, "/quantity_change"),
            ({"quantity_change": 2_000_000_000, "reason": "more than can be counted"}, "/quantity_change"),
            ({"quantity_change": 1}, "/reason"),
            ({"quantity_change": 1, "reason": ""}, "/reason"),
        ],
    )
    async def test_says_which_field_is_wrong(
        self, api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], body: dict[str, Any], pointer: str
    ) -> None:
        product = await a_product(resources.sessions, stock=10)

        answer = await api.post(f"/v1/variants/{product.variant_id}/stock-adjustments", json=body, headers=operator)

        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
        assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=10, reserved=0)

    async def test_of_a_variant_that_does_not_exist_is_not_found(
        self, api: httpx.AsyncClient, operator: dict[str, str]
    ) -> None:
        assert (await adjust(api, operator, uuid4(), 1)).status_code == 404

    async def test_is_adjusted_by_staff_only(self, api: httpx.AsyncClient, resources: Resources) -> None:
        product = await a_product(resources.sessions, stock=10)

        by_nobody = await adjust(api, {}, product.variant_id, 1)
        by_a_customer = await adjust(api, await headers_of(resources, Role.CUSTOMER), product.variant_id, 1)

        assert (by_nobody.status_code, by_a_customer.status_code) == (401, 403)
        assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=10, reserved=0)


async def adjust(api: httpx.AsyncClient, headers: dict[str, str], variant_id: Any, change: int) -> httpx.Response:
    return await api.post(
        f"/v1/variants/{variant_id}/stock-adjustments",
        json={"quantity_change": change, "reason": "counted"},
        headers=headers,
    )


async def a_new_category(api: httpx.AsyncClient, headers: dict[str, str], **wanted: Any) -> dict[str, Any]:
    made = await api.post("/v1/categories", json=wanted, headers=headers)
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


async def reserve_all(resources: Resources, variant_id: Any) -> None:
    """What an order would do, without the order."""
    async with resources.sessions.begin() as session:
        await session.execute(
            text(
                """
                WITH held AS (
                    UPDATE stock SET reserved = on_hand WHERE variant_id = :id RETURNING variant_id, on_hand
                )
                INSERT INTO stock_movements (variant_id, on_hand_change, reserved_change, reason)
                SELECT variant_id, 0, on_hand, 'test' FROM held
                """
            ),
            {"id": variant_id},
        )
