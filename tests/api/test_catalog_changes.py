"""Changing products, categories and stock over HTTP, against the real server."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.catalog_calls import a_new_category, adjust, names, reserve_all, usd
from tests.support.catalog import VariantWanted, a_category, a_product, ledger_of, stock_of, unique
from tests.support.staff import headers_of


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

    async def test_say_what_a_variant_weighs_and_weigh_it_again(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        wanted = {
            "name": unique("Anvil"),
            "category_id": str(await a_category(resources.sessions)),
            "price": usd("9.00"),
        }
        made = (await api.post("/v1/products", json={**wanted, "weight_grams": 5000}, headers=admin)).json()
        assert made["variants"][0]["weight_grams"] == 5000

        changed = await api.patch(f"/v1/products/{made['id']}", json={"weight_grams": 5200}, headers=admin)

        assert changed.json()["variants"][0]["weight_grams"] == 5200
        shown = (await api.get(f"/v1/products/{made['id']}")).json()
        assert (shown["variants"][0]["weight_grams"], shown["price"]) == (5200, usd("9.00"))
        refused = await api.patch(f"/v1/products/{made['id']}", json={"weight_grams": -1}, headers=admin)
        assert refused.status_code == 422

    async def test_may_give_two_products_the_same_name(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        wanted = {"name": unique("Mug"), "category_id": str(await a_category(resources.sessions)), "price": usd("1.00")}

        first, second = [(await api.post("/v1/products", json=wanted, headers=admin)).json() for _ in range(2)]

        assert second["slug"].startswith(f"{first['slug']}-")

    async def test_add_one_product_with_one_key_however_often_it_is_sent(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        name, category_id = unique("Keyed"), str(await a_category(resources.sessions))
        wanted = {"name": name, "category_id": category_id, "price": usd("1.00"), "stock_quantity": 4}
        keyed = {**admin, "Idempotency-Key": str(uuid4())}

        answers = await asyncio.gather(*(api.post("/v1/products", json=wanted, headers=keyed) for _ in range(5)))

        assert {answer.status_code for answer in answers} == {201}
        [first] = [answer for answer in answers if "Idempotency-Replayed" not in answer.headers]
        assert all(answer.json() == first.json() for answer in answers)
        assert names(await api.get("/v1/products", params={"q": name})) == [name]
        variant = first.json()["variants"][0]["id"]
        assert await ledger_of(resources.sessions, variant) == StockLevel(on_hand=4, reserved=0)
        other = await api.post("/v1/products", json={**wanted, "stock_quantity": 5}, headers=keyed)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    async def test_are_refused_once_more_what_was_refused(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        taken = await a_product(resources.sessions)
        category_id = str(await a_category(resources.sessions))
        wanted = {"name": unique("Copy"), "category_id": category_id, "price": usd("1.00"), "sku": taken.sku}
        keyed = {**admin, "Idempotency-Key": str(uuid4())}

        first, again = [await api.post("/v1/products", json=wanted, headers=keyed) for _ in range(2)]

        assert (first.status_code, first.json()["code"]) == (409, "sku_taken")
        assert (again.status_code, again.json(), again.headers["Idempotency-Replayed"]) == (409, first.json(), "true")

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
