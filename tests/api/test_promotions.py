"""Promotions over HTTP: staff makes them, customers enter their codes, and orders keep what was taken off."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.customers import Role
from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.catalog import a_category, a_product
from tests.support.promotions import a_code
from tests.support.shopper import Shopper
from tests.support.staff import headers_of

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


@pytest.fixture
async def admin(api: httpx.AsyncClient, resources: Resources) -> Shopper:
    return Shopper(api, headers=await headers_of(resources, Role.ADMIN))


def wanted(code: str | None = None, **otherwise: Any) -> dict[str, Any]:
    return {
        "name": "Ten percent in spring",
        "benefit": {"kind": "percent_off", "percent": "10", "on": "order"},
        "needs_code": True,
        "codes": [{"code": code}] if code else [],
        **otherwise,
    }


async def made(admin: Shopper, code: str | None = None, **otherwise: Any) -> dict[str, Any]:
    answer = await admin.send("POST", "/v1/admin/promotions", json=wanted(code, **otherwise))
    assert answer.status_code == 201, answer.text
    promotion: dict[str, Any] = answer.json()
    return promotion


async def enter(shopper: Shopper, cart: str, code: str) -> httpx.Response:
    return await shopper.send("POST", f"/v1/carts/{cart}/promotion-codes", json={"code": code})


async def test_a_promotion_is_shown_as_it_was_made_changed_with_its_tag_and_ended(
    admin: Shopper, resources: Resources
) -> None:
    product = await a_product(resources.sessions)
    category = await a_category(resources.sessions)
    code, group = a_code(), f"group-{uuid4().hex[:8]}"
    async with resources.sessions.begin() as session:
        await session.execute(text("INSERT INTO customer_groups (code, name) VALUES (:code, 'Trade')"), {"code": group})
    promotion = await made(
        admin,
        code.lower(),
        benefit={"kind": "buy_and_get", "buy": 2, "get": 1, "gets": {"categories": [str(category)]}, "at_most": 3},
        items={"products": [str(product.product_id)]},
        minimum_subtotal=[usd("20.00"), {"amount": "3000", "currency": "JPY"}],
        customer_groups=[group],
        first_order_only=True,
        starts_at="2026-01-01T00:00:00Z",
        priority=5,
        combination="best_of",
        usage_limit=100,
    )
    path = f"/v1/admin/promotions/{promotion['id']}"
    nothing: dict[str, list[str]] = {"products": [], "variants": [], "categories": [], "brands": [], "tags": []}

    assert promotion["benefit"] == {
        "kind": "buy_and_get",
        "buy": 2,
        "get": 1,
        "percent": "100",
        "gets": {**nothing, "categories": [str(category)]},
        "at_most": 3,
    }
    assert promotion["items"] == {**nothing, "products": [str(product.product_id)]}
    assert promotion["minimum_subtotal"] == [{"amount": "3000", "currency": "JPY"}, usd("20.00")]
    assert (promotion["used"], promotion["codes"], promotion["usage_limit"]) == (0, 1, 100)
    listed = (await admin.send("GET", "/v1/admin/promotions", params={"limit": 100})).json()["items"]
    assert promotion in listed
    codes = (await admin.send("GET", f"{path}/codes")).json()["items"]
    assert [(each["code"], each["used"]) for each in codes] == [(code, 0)]

    seen = await admin.send("GET", path)
    changed = await admin.send(
        "PATCH",
        path,
        json={"is_active": False, "ends_at": "2026-06-01T00:00:00Z", "usage_limit": 5},
        headers={"If-Match": seen.headers["ETag"]},
    )
    assert changed.status_code == 200, changed.text
    assert {**changed.json(), "updated_at": None} == {
        **promotion,
        "is_active": False,
        "ends_at": "2026-06-01T00:00:00Z",
        "usage_limit": 5,
        "version": 2,
        "updated_at": None,
    }
    stale = await admin.send("PATCH", path, json={"name": "Other"}, headers={"If-Match": seen.headers["ETag"]})
    assert code_of(stale) == (412, "precondition_failed")
    async with resources.sessions() as session:
        noted = await session.scalars(
            text("SELECT action FROM audit_log WHERE note LIKE :id ORDER BY id"), {"id": f"{promotion['id']}%"}
        )
        assert list(noted) == ["make_promotion", "change_promotion"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no percent": ({"benefit": {"kind": "percent_off", "percent": "0", "on": "order"}}, "/benefit/percent_off/percent"),
    "over a hundred": (
        {"benefit": {"kind": "percent_off", "percent": "100.01", "on": "order"}},
        "/benefit/percent_off/percent",
    ),
    "two amounts": (
        {"benefit": {"kind": "amount_off", "amounts": [usd("1.00"), usd("2.00")], "on": "order"}},
        "/benefit/amount_off/amounts",
    ),
    "nothing off": (
        {"benefit": {"kind": "amount_off", "amounts": [usd("0.00")], "on": "order"}},
        "/benefit/amount_off/amounts",
    ),
    "ends first": ({"starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"}, "/ends_at"),
    "unknown product": ({"items": {"products": [UNKNOWN]}}, "/items/products"),
    "unknown group": ({"customer_groups": ["nobody"]}, "/customer_groups"),
    "no limit": ({"usage_limit": 0}, "/usage_limit"),
    "no name": ({"name": " "}, "/name"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
async def test_a_promotion_that_makes_no_sense_is_refused_where_it_does_not(
    admin: Shopper, case: tuple[dict[str, Any], str]
) -> None:
    otherwise, pointer = case

    answer = await admin.send("POST", "/v1/admin/promotions", json=wanted(**otherwise))

    assert code_of(answer) == (422, "validation_failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer], answer.text


async def test_a_limit_is_not_begun_later_and_a_code_not_given_twice(admin: Shopper) -> None:
    code = a_code()
    promotion = await made(admin, code)
    path = f"/v1/admin/promotions/{promotion['id']}"

    late = await admin.send("PATCH", path, json={"usage_limit": 5})
    taken = await admin.send("POST", "/v1/admin/promotions", json=wanted(code))
    more = await admin.send("POST", f"{path}/codes", json={"codes": [{"code": code}, {"code": a_code()}]})

    assert (code_of(late), late.json()["errors"][0]["pointer"]) == ((422, "validation_failed"), "/usage_limit")
    assert (code_of(taken), taken.json()["codes"]) == ((409, "code_taken"), [code])
    assert (more.status_code, more.json()["codes"]) == (201, 2)


async def test_a_code_is_entered_seen_paid_with_and_kept_by_the_order(
    api: httpx.AsyncClient, admin: Shopper, resources: Resources
) -> None:
    code = a_code()
    await made(admin, code)
    product, shopper = await a_product(resources.sessions, price="20.00", stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 2))

    entered = (await enter(shopper, cart, f" {code.lower()} ")).json()

    assert entered["promotion_codes"] == [code]
    [item] = entered["items"]
    assert entered["promotions"] == [
        {
            "code": code,
            "name": "Ten percent in spring",
            "amount": usd("4.00"),
            "lines": [{"item_id": item["id"], "amount": usd("4.00")}],
            "shipping": usd("0.00"),
        }
    ]
    assert (item["discount"], entered["not_applied"]) == (usd("4.00"), [])
    assert entered["totals"]["total"] == usd("40.99")
    preview = (await shopper.send("GET", f"/v1/carts/{cart}/preview")).json()
    assert {name: preview[name] for name in entered} == entered
    assert preview["shipping"]["total"] == usd("4.99")
    assert preview["obstacle"] is None

    order = (await shopper.check_out(cart, expected_total=entered["totals"]["total"])).json()

    assert order["totals"] == entered["totals"]
    [bought] = order["items"]
    assert (bought["line_total"], bought["discount"]) == (usd("40.00"), usd("4.00"))
    assert order["payment"]["amount"] == usd("40.99")
    assert order["promotions"] == [
        {
            "code": code,
            "name": "Ten percent in spring",
            "amount": usd("4.00"),
            "lines": [{"order_item_id": bought["id"], "amount": usd("4.00")}],
            "shipping": usd("0.00"),
        }
    ]


async def test_a_code_that_takes_nothing_off_is_refused_with_its_reason_and_not_kept(
    api: httpx.AsyncClient, admin: Shopper, resources: Resources
) -> None:
    much, later, other = a_code(), a_code(), a_code()
    await made(admin, much, minimum_subtotal=[usd("100.00")])
    await made(admin, later, starts_at="2090-01-01T00:00:00Z")
    await made(admin, other, items={"brands": ["Nobody's"]})
    product, shopper = await a_product(resources.sessions, price="20.00"), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))

    reasons = {}
    for code in ("NO-SUCH-CODE", much, later, other):
        answer = await enter(shopper, cart, code)
        assert code_of(answer) == (422, "promotion_not_applicable")
        reasons[code] = answer.json()["reason"]

    assert reasons == {
        "NO-SUCH-CODE": "unknown",
        much: "minimum_not_reached",
        later: "not_yet",
        other: "no_eligible_item",
    }
    seen = (await shopper.send("GET", f"/v1/carts/{cart}")).json()
    assert (seen["promotion_codes"], seen["totals"]["total"]) == ([], usd("24.99"))


async def test_a_code_is_taken_out_by_body_or_by_address(
    api: httpx.AsyncClient, admin: Shopper, resources: Resources
) -> None:
    first, second = a_code(), a_code()
    await made(admin, first)
    await made(admin, second, benefit={"kind": "free_shipping"})
    product, shopper = await a_product(resources.sessions, price="20.00"), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    for code in (first, second):
        assert (await enter(shopper, cart, code)).status_code == 200
    path = f"/v1/carts/{cart}/promotion-codes"

    by_body = await shopper.send("DELETE", path, json={"code": first.lower()})
    by_address = await shopper.send("DELETE", f"{path}/{second.lower()}")

    assert (by_body.status_code, by_body.json()["promotion_codes"]) == (200, [second])
    assert (by_address.status_code, by_address.json()["promotion_codes"]) == (200, [])
    assert by_address.json()["totals"]["total"] == usd("24.99")
    assert code_of(await shopper.send("DELETE", f"{path}/{second}")) == (404, "not_found")


async def test_a_cart_takes_ten_codes(api: httpx.AsyncClient, admin: Shopper, resources: Resources) -> None:
    codes = [a_code() for _ in range(11)]
    product, shopper = await a_product(resources.sessions, price="20.00"), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    for code in codes:
        await made(admin, code, benefit={"kind": "percent_off", "percent": "1", "on": "line"})
    answers = [await enter(shopper, cart, code) for code in codes]

    assert [answer.status_code for answer in answers] == [200] * 10 + [422]
    assert answers[-1].json()["reason"] == "too_many_codes"


@pytest.mark.matrix("checkout: too little stock, another price, or a code that somebody else used up")
async def test_of_five_who_check_out_at_once_two_get_a_code_for_two_and_nobody_else_is_charged(
    api: httpx.AsyncClient, admin: Shopper, resources: Resources
) -> None:
    code = a_code()
    promotion = await made(admin, code, usage_limit=2)
    product = await a_product(resources.sessions, price="20.00", stock=9)
    shoppers = [Shopper(api, email=f"{uuid4().hex}@example.com") for _ in range(5)]
    carts = []
    for shopper in shoppers:
        cart = await shopper.a_cart((product.variant_id, 1))
        seen = (await enter(shopper, cart, code)).json()
        carts.append((shopper, cart, seen["totals"]["total"]))

    answers = await asyncio.gather(*(shopper.check_out(cart, expected_total=total) for shopper, cart, total in carts))

    told = Counter(answer.json().get("code", answer.json()["status"]) for answer in answers)
    assert told == {"confirmed": 2, "promotion_used_up": 3}
    used = (await admin.send("GET", f"/v1/admin/promotions/{promotion['id']}")).json()["used"]
    assert used == 2
    async with resources.sessions() as session:
        placed = await session.scalar(
            text("SELECT count(*) FROM order_lines WHERE variant_id = :id"), {"id": product.variant_id}
        )
    assert placed == 2
    [cancelled, *_] = [answer.json() for answer in answers if answer.status_code == 201]
    guests = next(cart for (_, cart, _), answer in zip(carts, answers, strict=True) if answer.json() == cancelled)
    done = await api.post(f"/v1/orders/{cancelled['id']}/cancel", params={"cart": guests}, json={"reason": "too late"})
    assert done.json()["status"] == "cancelled", done.text
    assert (await admin.send("GET", f"/v1/admin/promotions/{promotion['id']}")).json()["used"] == 1


async def test_a_preview_tells_staff_also_of_promotions_that_need_no_code(
    api: httpx.AsyncClient, admin: Shopper, resources: Resources
) -> None:
    name = f"Only for a brand {uuid4().hex}"
    promotion = await made(admin, name=name, needs_code=False, items={"brands": [name]})
    product, shopper = await a_product(resources.sessions), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    before = await shopper.send("GET", f"/v1/carts/{cart}")

    theirs = (await shopper.send("GET", f"/v1/carts/{cart}/preview")).json()
    ours = (await admin.send("GET", f"/v1/carts/{cart}/preview")).json()

    assert theirs["not_applied"] == []
    assert [no["reason"] for no in ours["not_applied"] if no["name"] == name] == ["no_eligible_item"]
    assert (await shopper.send("GET", f"/v1/carts/{cart}")).text == before.text
    await admin.send("PATCH", f"/v1/admin/promotions/{UUID(promotion['id'])}", json={"is_active": False})
