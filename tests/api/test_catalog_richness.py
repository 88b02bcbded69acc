"""Tags, attributes, times, many writes at once, and what only staff sees; over HTTP, against the real server."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import catalog_views
from runtime.resources import Resources
from tests.api.catalog_calls import names, usd
from tests.support.catalog import a_category, a_product, unique
from tests.support.statements import counted_statements
from tests.support.waiting import eventually


def a_code() -> str:
    return f"a{uuid4().hex[:12]}"


async def an_attribute(api: httpx.AsyncClient, admin: dict[str, str], kind: str, **wanted: Any) -> str:
    code = a_code()
    made = await api.put(f"/v1/attributes/{code}", json={"name": "Of ours", "kind": kind, **wanted}, headers=admin)
    assert made.status_code == 200, made.text
    return code


async def a_made_product(
    api: httpx.AsyncClient, resources: Resources, admin: dict[str, str], **wanted: Any
) -> dict[str, Any]:
    category_id = str(await a_category(resources.sessions))
    body = {"name": unique("Product"), "category_id": category_id, "price": usd("5.00"), "stock_quantity": 3, **wanted}
    made = await api.post("/v1/products", json=body, headers=admin)
    assert made.status_code == 201, made.text
    product: dict[str, Any] = made.json()
    return product


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


class TestTags:
    async def test_are_kept_without_capitals_and_find_products(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        one, other = unique("One"), unique("Other")
        both = await a_made_product(api, resources, admin, tags=[one, other.upper(), one])
        single = await a_made_product(api, resources, admin, tags=[one])

        assert both["tags"] == sorted([one.lower(), other.lower()])
        page = await api.get("/v1/products", params={"tag": one, "facets": "tag"})
        assert names(page) == [single["name"], both["name"]]
        assert page.json()["facets"]["tag"] == [
            {"value": one.lower(), "count": 2},
            {"value": other.lower(), "count": 1},
        ]
        assert names(await api.get("/v1/products", params={"tag": [one, other]})) == [both["name"]]
        assert names(await api.get("/v1/products", params={"q": other})) == [both["name"]]

    async def test_are_replaced_as_a_whole(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        tag = unique("tag").lower()
        product = await a_made_product(api, resources, admin, tags=[tag])
        assert names(await api.get("/v1/products", params={"tag": tag})) == [product["name"]]

        changed = await api.patch(f"/v1/products/{product['id']}", json={"tags": ["new"]}, headers=admin)

        assert changed.json()["tags"] == ["new"]
        assert names(await api.get("/v1/products", params={"tag": tag})) == []


class TestAttributes:
    async def test_are_typed_and_come_back_as_they_are(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        colour = await an_attribute(api, admin, "choice", choices=["red", "green"])
        said = {
            colour: "red",
            await an_attribute(api, admin, "text"): "cotton",
            await an_attribute(api, admin, "number"): 1.5,
            await an_attribute(api, admin, "boolean"): True,
            await an_attribute(api, admin, "date"): "2026-01-31",
        }
        product = await a_made_product(api, resources, admin, attributes=said)

        assert product["attributes"] == said
        shown = (await api.get(f"/v1/products/{product['slug']}")).json()
        assert shown["attributes"] == said
        changed = await api.patch(f"/v1/products/{product['id']}", json={"attributes": {colour: None}}, headers=admin)
        del said[colour]
        assert changed.json()["attributes"] == said
        assert (await api.get(f"/v1/products/{product['slug']}")).json()["attributes"] == said

    async def test_of_the_wrong_kind_are_refused_and_nothing_changes(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        colour = await an_attribute(api, admin, "choice", choices=["red", "green"])
        product = await a_made_product(api, resources, admin, attributes={colour: "red"})
        unknown = a_code()

        for attributes, pointer in (
            ({colour: "blue"}, f"/attributes/{colour}"),
            ({colour: 1}, f"/attributes/{colour}"),
            ({colour: "green", unknown: "x"}, f"/attributes/{unknown}"),
        ):
            refused = await api.patch(
                f"/v1/products/{product['id']}", json={"name": "other", "attributes": attributes}, headers=admin
            )
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
        assert (await api.get(f"/v1/products/{product['slug']}")).json() == product

    async def test_filter_and_are_counted(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        colour = await an_attribute(api, admin, "choice", choices=["red", "green", "blue"])
        weight = await an_attribute(api, admin, "number")
        red, green, blue = [
            await a_made_product(api, resources, admin, attributes={colour: value, weight: number})
            for value, number in (("red", 1.5), ("green", 1.5), ("blue", 2))
        ]

        async def found(**params: Any) -> list[str]:
            return names(await api.get("/v1/products", params=params))

        by_colour, by_weight = f"attribute.{colour}", f"attribute.{weight}"
        assert await found(**{by_colour: "red"}) == [red["name"]]
        assert await found(**{by_colour: ["red", "blue"]}) == [blue["name"], red["name"]]
        assert await found(**{by_weight: "1.50"}) == [green["name"], red["name"]]
        assert await found(**{by_weight: "1.5", by_colour: "green"}) == [green["name"]]
        page = await api.get(
            "/v1/products", params={by_weight: "1.5", by_colour: "red", "facets": f"{by_colour},{by_weight}"}
        )
        assert page.json()["facets"] == {
            by_colour: [{"value": "green", "count": 1}, {"value": "red", "count": 1}],
            by_weight: [{"value": "1.5", "count": 1}],
        }
        for params, pointer in (
            ({f"attribute.{a_code()}": "x"}, "/attribute."),
            ({by_colour: "pink"}, f"/{by_colour}"),
            ({"facets": "attribute.nobody_has"}, "/facets"),
        ):
            refused = await api.get("/v1/products", params=params)
            assert refused.status_code == 422
            assert refused.json()["errors"][0]["pointer"].startswith(pointer)

    async def test_that_products_rely_on_cannot_be_taken_away(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        colour = await an_attribute(api, admin, "choice", choices=["red", "green"])
        product = await a_made_product(api, resources, admin, attributes={colour: "red"})
        address = f"/v1/attributes/{colour}"

        wider = {"name": "Colour", "kind": "choice", "choices": ["red", "black"]}
        assert (await api.put(address, json=wider, headers=admin)).json() == {"code": colour, **wider}
        for refused in (
            await api.put(address, json={**wider, "choices": ["black"]}, headers=admin),
            await api.put(address, json={"name": "Colour", "kind": "text"}, headers=admin),
            await api.delete(address, headers=admin),
        ):
            assert (refused.status_code, refused.json()["code"]) == (409, "attribute_in_use")
        listed = (await api.get("/v1/attributes")).json()["items"]
        assert {"code": colour, **wider} in listed

        await api.patch(f"/v1/products/{product['id']}", json={"attributes": {colour: None}}, headers=admin)
        assert (await api.delete(address, headers=admin)).status_code == 204
        assert colour not in {item["code"] for item in (await api.get("/v1/attributes")).json()["items"]}

    async def test_cannot_be_given_a_value_of_another_kind_by_any_statement(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        weight = await an_attribute(api, admin, "number")
        colour = await an_attribute(api, admin, "choice", choices=["red"])
        product = await a_product(resources.sessions)

        for code, kind, value in ((weight, "number", "heavy"), (weight, "text", "heavy"), (colour, "choice", "blue")):
            with pytest.raises(IntegrityError):
                async with resources.sessions.begin() as session:
                    await session.execute(
                        text(
                            "INSERT INTO product_attributes (product_id, attribute, kind, value) "
                            "VALUES (:id, :code, :kind, :value)"
                        ),
                        {"id": product.product_id, "code": code, "kind": kind, "value": value},
                    )


class TestTimes:
    async def test_a_product_appears_and_disappears_at_its_time_although_it_is_cached(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        brand = unique("Brand")
        product = await a_made_product(api, resources, admin, brand=brand, published_from=in_seconds(5))

        async def is_shown() -> set[bool]:
            """In its page, in a list and in a search, each of which is in memory."""
            page = await api.get(f"/v1/products/{product['slug']}")
            listed = await api.get("/v1/products", params={"brand": brand})
            searched = await api.get("/v1/products", params={"q": product["name"]})
            return {page.status_code == 200, names(listed) == [product["name"]], names(searched) == [product["name"]]}

        async def has_appeared() -> bool:
            return await is_shown() == {True}

        async def has_disappeared() -> bool:
            return await is_shown() == {False}

        assert await is_shown() == {False}
        await eventually(has_appeared)
        assert datetime.now(UTC) >= datetime.fromisoformat(product["published_from"])
        until = {"published_until": in_seconds(5)}
        changed = await api.patch(f"/v1/products/{product['id']}", json=until, headers=admin)
        assert changed.status_code == 200
        await eventually(has_disappeared)
        assert datetime.now(UTC) >= datetime.fromisoformat(until["published_until"])

    async def test_what_has_not_appeared_cannot_be_put_into_a_cart(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        product = await a_made_product(api, resources, admin, published_from=in_seconds(3600))
        cart = (await api.post("/v1/carts", json={"currency": "USD"})).json()
        item = {"variant_id": product["variants"][0]["id"], "quantity": 1}

        refused = await api.post(f"/v1/carts/{cart['id']}/items", json=item)
        assert refused.status_code == 422
        assert (await api.get(f"/v1/carts/{cart['id']}")).json()["items"] == []

        await api.patch(f"/v1/products/{product['id']}", json={"published_from": None}, headers=admin)
        assert (await api.post(f"/v1/carts/{cart['id']}/items", json=item)).status_code == 201

    async def test_a_product_appears_before_it_disappears(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        product = await a_made_product(api, resources, admin, published_from=in_seconds(60))

        for times in ({"published_until": in_seconds(30)}, {"published_until": "2026-01-31T10:00:00"}):
            refused = await api.patch(f"/v1/products/{product['id']}", json=times, headers=admin)
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/published_until")
        shown = (await api.get(f"/v1/products/{product['id']}", headers=admin)).json()
        assert shown["published_until"] is None


class TestManyWrites:
    async def test_stand_each_on_its_own(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        old, gone = [await a_made_product(api, resources, admin) for _ in range(2)]
        category_id, sku = str(await a_category(resources.sessions)), f"BULK-{uuid4().hex[:8]}"
        new = {"name": unique("New"), "category_id": category_id, "price": usd("1.00"), "sku": sku}
        items = [
            {"create": new},
            {"create": new},
            {"create": {**new, "sku": None, "price": usd("-1.00")}},
            {"change": {"id": old["id"], "name": "Changed in bulk"}},
            {"change": {"id": old["id"], "version": 1, "name": "Too late"}},
            {"archive": {"id": gone["id"]}},
            {"archive": {"id": str(uuid4())}},
            {"change": {"id": old["id"]}, "archive": {"id": old["id"]}},
        ]

        report = await api.post("/v1/admin/products/bulk", json={"items": items}, headers=admin)

        assert report.status_code == 200, report.text
        body = report.json()
        assert [item["index"] for item in body["items"]] == list(range(8))
        assert [item["status"] for item in body["items"]] == [201, 409, 422, 200, 412, 204, 404, 422]
        codes = [item["problem"] and item["problem"]["code"] for item in body["items"]]
        assert codes == [
            *(None, "sku_taken", "validation_failed", None),
            *("precondition_failed", None, "not_found", "validation_failed"),
        ]
        assert body["items"][2]["problem"]["errors"][0]["pointer"] == "/create/price"
        assert (body["succeeded"], body["failed"]) == (3, 5)
        shown = (await api.get(f"/v1/products/{body['items'][0]['id']}")).json()
        assert (shown["name"], shown["variants"][0]["sku"]) == (new["name"], sku)
        assert (await api.get(f"/v1/products/{old['id']}")).json()["name"] == "Changed in bulk"
        assert (await api.get(f"/v1/products/{gone['id']}")).status_code == 404

    async def test_make_each_product_once_also_when_only_the_answer_was_lost(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        category_id, name = str(await a_category(resources.sessions)), unique("Bulk")
        new = {"name": name, "category_id": category_id, "price": usd("1.00"), "stock_quantity": 2}
        wish, key = {"items": [{"create": new}, {"create": new}]}, str(uuid4())
        keyed = {**admin, "Idempotency-Key": key}
        first = await api.post("/v1/admin/products/bulk", json=wish, headers=keyed)
        assert (first.status_code, first.json()["succeeded"]) == (200, 2), first.text
        async with resources.sessions.begin() as session:
            await session.execute(
                text("UPDATE idempotency_keys SET answer_status = NULL, answer = NULL WHERE key = :key"), {"key": key}
            )

        again, replayed = [await api.post("/v1/admin/products/bulk", json=wish, headers=keyed) for _ in range(2)]

        assert again.json() == replayed.json() == first.json()
        assert replayed.headers["Idempotency-Replayed"] == "true"
        found = (await api.get("/v1/products", params={"q": name})).json()["items"]
        assert {product["id"] for product in found} == {made["id"] for made in first.json()["items"]}
        other = await api.post("/v1/admin/products/bulk", json={"items": [{"create": new}]}, headers=keyed)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    async def test_are_reported_whatever_their_fields_are_called(
        self, api: httpx.AsyncClient, admin: dict[str, str]
    ) -> None:
        keyed = {**admin, "Idempotency-Key": str(uuid4())}
        wish = {"items": [{"a\0/b": 1}]}

        first, again = [await api.post("/v1/admin/products/bulk", json=wish, headers=keyed) for _ in range(2)]

        assert (first.status_code, first.json()) == (again.status_code, again.json())
        [result] = first.json()["items"]
        assert (first.status_code, result["status"]) == (200, 422)
        assert [error["pointer"] for error in result["problem"]["errors"]] == ["/a\N{SYMBOL FOR NULL}~1b"]

    async def test_are_at_most_a_hundred(self, api: httpx.AsyncClient, admin: dict[str, str]) -> None:
        for count in (0, 101):
            items = [{"archive": {"id": str(uuid4())}}] * count
            refused = await api.post("/v1/admin/products/bulk", json={"items": items}, headers=admin)
            assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")

    async def test_need_an_admin(self, api: httpx.AsyncClient, operator: dict[str, str]) -> None:
        items = [{"archive": {"id": str(uuid4())}}]
        refused = await api.post("/v1/admin/products/bulk", json={"items": items}, headers=operator)
        assert refused.status_code == 403


class TestStaff:
    async def test_finds_products_on_every_shelf(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str], operator: dict[str, str]
    ) -> None:
        word = unique("Shelf")

        async def made(name: str, **wanted: Any) -> dict[str, Any]:
            return await a_made_product(api, resources, admin, name=f"{word} {name}", **wanted)

        archived = await made("archived")
        await api.delete(f"/v1/products/{archived['id']}", headers=admin)
        await made("inactive", is_active=False)
        await made("scheduled", published_from=in_seconds(3600))
        await made("expired", published_until=in_seconds(-3600))
        active = await made("active")
        shelves = ["active", "expired", "scheduled", "inactive", "archived"]

        async def found(**params: Any) -> list[tuple[str, str]]:
            page = await api.get("/v1/admin/products", params=params, headers=operator)
            assert page.status_code == 200, page.text
            assert page.headers["cache-control"] == "private, no-store"
            return [(item["name"], item["status"]) for item in page.json()["items"]]

        assert await found(q=word) == [(f"{word} {shelf}", shelf) for shelf in shelves]
        for shelf in shelves:
            assert await found(q=word.lower(), status=shelf) == [(f"{word} {shelf}", shelf)]
        assert await found(q=active["variants"][0]["sku"]) == [(active["name"], "active")]
        first = await api.get("/v1/admin/products", params={"q": word, "limit": 3}, headers=operator)
        assert await found(q=word, limit=3, cursor=first.json()["next_cursor"]) == [
            (f"{word} {shelf}", shelf) for shelf in shelves[3:]
        ]
        assert names(await api.get("/v1/products", params={"q": word})) == [active["name"]]

    async def test_list_takes_two_statements(self, resources: Resources) -> None:
        await asyncio.gather(*(a_product(resources.sessions) for _ in range(3)))
        with counted_statements(resources.engine) as statements:
            async with resources.sessions() as session:
                views = await catalog_views.staff_products(
                    session, currency="USD", limit=3, before=None, shelf=None, q=None
                )
        assert len(views) == 3
        assert len(statements) == 2

    async def test_is_asked_who_it_is(self, api: httpx.AsyncClient) -> None:
        assert (await api.get("/v1/admin/products")).status_code == 401
