"""Gift cards and store credit over HTTP: staff issues, gives and takes, and their owners see what they have."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.customers import Role
from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.credit import a_customer, a_gift_card, expire
from tests.support.shopper import Shopper
from tests.support.staff import headers_of


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


@pytest.fixture
async def operator(api: httpx.AsyncClient, resources: Resources) -> Shopper:
    return Shopper(api, headers=await headers_of(resources, Role.OPERATOR))


async def issued(operator: Shopper, amount: str = "25.00", key: str = "") -> httpx.Response:
    wish: dict[str, Any] = {"amount": usd(amount), "reason": "An apology", "expires_at": "2099-01-01T00:00:00Z"}
    return await operator.send(
        "POST", "/v1/admin/gift-cards", json=wish, headers={"Idempotency-Key": key} if key else {}
    )


async def test_a_card_is_issued_once_for_a_key_shown_by_its_last_letters_and_disabled(
    operator: Shopper, resources: Resources
) -> None:
    key = uuid4().hex
    first = await issued(operator, key=key)
    again = await issued(operator, key=key)

    card = first.json()
    code = card.pop("gift_card_code")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == {**card, "gift_card_code": ""}
    assert (card["last4"], card["status"], card["initial_amount"], card["balance"]) == (
        code[-4:],
        "active",
        usd("25.00"),
        usd("25.00"),
    )
    path = f"/v1/admin/gift-cards/{card['id']}"
    assert (await operator.send("GET", path)).json() == card
    assert card in (await operator.send("GET", "/v1/admin/gift-cards", params={"limit": 100})).json()["items"]
    [entry] = (await operator.send("GET", f"{path}/entries")).json()["items"]
    assert (entry["amount"], entry["reason"], entry["order_id"]) == (usd("25.00"), "issued", None)

    disabled = await operator.send("POST", f"{path}/disable", json={"reason": "Stolen"})

    assert (disabled.status_code, disabled.json()["status"], disabled.json()["balance"]) == (
        200,
        "disabled",
        usd("25.00"),
    )
    async with resources.sessions() as session:
        notes = await session.scalars(
            text("SELECT action FROM audit_log WHERE note LIKE :card ORDER BY id"), {"card": f"{card['id']}%"}
        )
    assert list(notes) == ["issue_gift_card", "disable_gift_card"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": usd("0.00")},
        {"amount": usd("-1.00")},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"reason": ""},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_card_that_is_worth_nothing_or_over_already_is_not_issued(
    operator: Shopper, wrong: dict[str, Any]
) -> None:
    wish = {"amount": usd("5.00"), "reason": "An apology", **wrong}

    assert code_of(await operator.send("POST", "/v1/admin/gift-cards", json=wish)) == (422, "validation_failed")


async def test_whoever_has_a_code_sees_what_is_left_and_all_wrong_codes_are_answered_alike(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    card_id, code = await a_gift_card(resources.sessions)

    async def asked(for_code: str) -> httpx.Response:
        return await api.post("/v1/gift-cards/balance", json={"code": for_code})

    seen = await asked(code.lower())
    assert seen.json() == {"last4": code[-4:], "status": "active", "balance": usd("10.00"), "expires_at": None}
    assert seen.headers["Cache-Control"] == "no-store"
    wrong = [{**(await asked(each)).json(), "trace_id": ""} for each in ("AAAA-AAAA-AAAA-AAAA", "x", code[:-1])]
    assert wrong[0]["code"] == "not_found"
    assert all(each == wrong[0] for each in wrong)

    await expire(resources.sessions, card_id)
    assert (await asked(code)).json()["status"] == "expired"


async def test_store_credit_is_given_and_taken_and_its_owner_sees_why(
    api: httpx.AsyncClient, operator: Shopper, resources: Resources
) -> None:
    customer = Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))
    user_id = (await customer.send("GET", "/v1/users/me")).json()["id"]
    path, key = f"/v1/admin/users/{user_id}/store-credit", {"Idempotency-Key": uuid4().hex}
    given = {"amount": usd("10.00"), "reason": "A parcel came late"}

    for _ in range(2):
        told = await operator.send("POST", path, json=given, headers=key)
        assert (told.status_code, told.json()) == (200, {"balances": [usd("10.00")]})
    taken = await operator.send("POST", path, json={"amount": usd("-4.00"), "reason": "A mistake"})
    too_much = await operator.send("POST", path, json={"amount": usd("-6.01"), "reason": "A mistake"})

    assert taken.json() == {"balances": [usd("6.00")]}
    assert code_of(too_much) == (409, "insufficient_credit")
    assert (await customer.send("GET", "/v1/users/me/store-credit")).json() == {"balances": [usd("6.00")]}
    mine = (await customer.send("GET", "/v1/users/me/store-credit/entries")).json()
    assert [(entry["amount"], entry["reason"]) for entry in mine["items"]] == [
        (usd("-4.00"), "adjusted"),
        (usd("10.00"), "adjusted"),
    ]
    assert (await operator.send("GET", f"{path}/entries")).json() == mine


async def test_support_sees_credit_and_gives_none(
    api: httpx.AsyncClient, operator: Shopper, resources: Resources
) -> None:
    support = Shopper(api, headers=await headers_of(resources, Role.SUPPORT))
    user = await a_customer(resources.sessions)
    path = f"/v1/admin/users/{user}/store-credit"

    assert (await support.send("GET", path)).json() == {"balances": []}
    refused = await support.send("POST", path, json={"amount": usd("1.00"), "reason": "Please"})

    assert code_of(refused) == (403, "forbidden")
    assert code_of(await issued(support)) == (403, "forbidden")
    assert (await operator.send("GET", path)).json() == {"balances": []}
