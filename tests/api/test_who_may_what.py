"""Every route, asked by everybody: the answers are those of docs/security.md."""

import asyncio
import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from litestar import Litestar, get

from api.auth import NoPermissionNamedError, Route, routes_of
from api.who_may_what import COLUMNS, document, routes
from domain.customers import Role
from domain.permissions import FOR_KEYS, GRANTED, OPEN, Permission, granted_to_key
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.credit import a_gift_card
from tests.support.orders import Written, written_about
from tests.support.promotions import enter
from tests.support.shopper import ADDRESS, Shopper
from tests.support.staff import headers_of, headers_of_a_key

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
ROUTES = routes()
ENDS_THE_SESSION = {("POST", "/v1/auth/logout"), ("DELETE", "/v1/users/me/sessions")}

Headers = dict[str, str]


def test_the_page_shows_the_routes_as_they_are() -> None:
    assert PAGE.read_text() == document(ROUTES)


def test_a_route_that_names_no_permission_refuses_to_start() -> None:
    @get("/forgotten", sync_to_thread=False)
    def forgotten() -> None:
        """Somebody forgot."""

    with pytest.raises(NoPermissionNamedError, match="/forgotten"):
        routes_of(Litestar([forgotten], openapi_config=None))


def test_a_role_may_at_least_what_the_role_below_it_may() -> None:
    assert OPEN < GRANTED[Role.CUSTOMER] < GRANTED[Role.SUPPORT] < GRANTED[Role.OPERATOR] < GRANTED[Role.ADMIN]


def test_no_key_makes_keys_and_one_that_acts_on_orders_may_read_them() -> None:
    assert {Permission.ACCOUNT, Permission.KEYS_MANAGE, Permission.STAFF_MANAGE} & granted_to_key(Permission) == set()
    assert granted_to_key([Permission.PAYMENTS_REFUND]) == OPEN | {Permission.PAYMENTS_REFUND, Permission.ORDERS_READ}
    assert granted_to_key([Permission.STOCK_READ]) == OPEN | {Permission.STOCK_READ}


async def test_the_published_description_has_every_route_and_says_what_it_needs(api: httpx.AsyncClient) -> None:
    published = (await api.get("/openapi.json")).json()["paths"]
    described = {
        (path, method.upper()): told for path, told_of in published.items() for method, told in told_of.items()
    }
    needed = {(route.path, route.method): route for route in ROUTES}

    hidden = {path for path, _ in needed.keys() - described.keys()}
    assert hidden == {
        "/openapi.json",
        "/asyncapi.json",
        "/metrics",
        "/verify-email",
        "/password-reset",
        "/email-change",
        "/invitation",
        "/unsubscribe",
        *(path for path in hidden if path[:5] == "/docs"),
    }
    assert described.keys() <= needed.keys()
    for key, told in described.items():
        route = needed[key]
        assert told.get("x-permission") == (None if route.is_open else str(route.permission)), key
        assert bool(told.get("security")) is not route.is_open, key


# --- every route, as everybody ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_route_lets_in_whom_the_page_says(api: httpx.AsyncClient, resources: Resources, column: str) -> None:
    headers = await headers_of_column(resources, column)

    found = await outcomes(api, resources, column, headers)

    assert found == {name(route): expected(COLUMNS[column](route), scoped=True) for route in ROUTES}


async def test_a_key_opens_what_it_was_made_for_and_nothing_else(api: httpx.AsyncClient, resources: Resources) -> None:
    headers = await headers_of_a_key(resources, [Permission.BREACHES_READ])

    found = await outcomes(api, resources, "API key", headers)

    verdict = COLUMNS["API key"]
    assert found == {
        name(route): expected(verdict(route), scoped=route.permission is Permission.BREACHES_READ) for route in ROUTES
    }


async def headers_of_column(resources: Resources, column: str) -> Headers:
    match column:
        case "anonymous":
            return {}
        case "API key":
            return await headers_of_a_key(resources, FOR_KEYS)
    return await headers_of(resources, Role(column))


async def outcomes(api: httpx.AsyncClient, resources: Resources, column: str, headers: Headers) -> dict[str, str]:
    """What each route answers: 401, 403, or it lets the request in and finds something else wrong with it."""
    few = asyncio.Semaphore(4)

    async def ask(route: Route) -> tuple[str, str]:
        is_last = (route.method, route.path) in ENDS_THE_SESSION
        own = await headers_of_column(resources, column) if is_last else headers
        async with few:
            body = None if route.method == "GET" else {"of_no_use": 1}
            answer = await api.request(route.method, filled(route.path), json=body, headers=own)
        assert answer.status_code < 500 or route.path == "/ready", (name(route), answer.text)
        return name(route), str(answer.status_code) if answer.status_code in (401, 403) else "let in"

    return dict(await asyncio.gather(*map(ask, ROUTES)))


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def filled(path: str) -> str:
    """The address of something that does not exist."""
    return re.sub(r"{(\w+)}", lambda found: str(uuid4()) if found[1].endswith("_id") else "nothing", path)


def expected(cell: str, *, scoped: bool) -> str:
    if cell == "scope":
        return "let in" if scoped else "403"
    return cell if cell in ("401", "403") else "let in"


# --- somebody else's -------------------------------------------------------------------------------------------------

CALLS: dict[tuple[str, str], Any] = {
    ("GET", "/v1/carts/{cart_id}"): None,
    ("GET", "/v1/carts/{cart_id}/preview"): None,
    ("GET", "/v1/carts/{cart_id}/shipping-options"): None,
    ("POST", "/v1/carts/{cart_id}/promotion-codes"): {"code": "MALLORY"},
    ("DELETE", "/v1/carts/{cart_id}/promotion-codes"): {"code": "FIRST"},
    ("DELETE", "/v1/carts/{cart_id}/promotion-codes/{code}"): None,
    ("POST", "/v1/carts/{cart_id}/gift-cards"): {"code": "MALLORY"},
    ("DELETE", "/v1/carts/{cart_id}/gift-cards/{card_id}"): None,
    ("PUT", "/v1/carts/{cart_id}/store-credit"): {"use": True},
    ("PUT", "/v1/carts/{cart_id}/email"): {"email": "mallory@example.com"},
    ("PUT", "/v1/carts/{cart_id}/shipping-address"): {**ADDRESS, "name": "Mallory"},
    ("PUT", "/v1/carts/{cart_id}/shipping-method"): {"code": "express"},
    ("POST", "/v1/carts/{cart_id}/claim"): {},
    ("PUT", "/v1/carts/{cart_id}/reminders"): {"consent": False},
    ("POST", "/v1/carts/{cart_id}/acknowledge-prices"): None,
    ("POST", "/v1/carts/{cart_id}/items"): {"variant_id": "{variant_id}", "quantity": 1},
    ("PATCH", "/v1/carts/{cart_id}/items/{item_id}"): {"quantity": 7},
    ("DELETE", "/v1/carts/{cart_id}/items/{item_id}"): None,
    ("POST", "/v1/checkouts"): {"cart_id": "{cart_id}", "payment_method": "pm_card_visa"},
    ("GET", "/v1/orders/{order_id}"): None,
    ("GET", "/v1/orders/{order_id}/events"): None,
    ("POST", "/v1/orders/{order_id}/returns"): {
        "items": [{"order_item_id": "{line_id}", "quantity": 1, "reason": "mine now"}]
    },
    ("PUT", "/v1/orders/{order_id}/shipping-address"): {**ADDRESS, "name": "Mallory"},
    ("POST", "/v1/orders/{order_id}/cancel"): {"reason": "mine now"},
    ("PUT", "/v1/carts/{cart_id}/saved-shipping-address"): {"address_id": "{address_id}"},
    ("GET", "/v1/users/me/addresses/{address_id}"): None,
    ("PUT", "/v1/users/me/addresses/{address_id}"): {**ADDRESS, "name": "Mallory"},
    ("DELETE", "/v1/users/me/addresses/{address_id}"): None,
    ("DELETE", "/v1/users/me/sessions/{session_id}"): None,
}
"""A request that is right in all but whose thing it is about."""

ABOUT_THE_CALLER = {
    *ENDS_THE_SESSION,
    ("GET", "/v1/users/me/sessions"),
    ("GET", "/v1/users/me/addresses"),
    ("POST", "/v1/users/me/addresses"),
    ("POST", "/v1/users/me/email"),
    ("GET", "/v1/users/me/second-factor"),
    ("POST", "/v1/users/me/second-factor"),
    ("POST", "/v1/users/me/second-factor/confirm"),
    ("POST", "/v1/users/me/second-factor/disable"),
    ("GET", "/v1/users/me"),
    ("PATCH", "/v1/users/me"),
    ("DELETE", "/v1/users/me"),
    ("GET", "/v1/users/me/export"),
    ("GET", "/v1/users/me/store-credit"),
    ("GET", "/v1/users/me/store-credit/entries"),
    ("GET", "/v1/orders"),
    ("GET", "/v1/carts/mine"),
}
"""They name nothing that could be somebody else's."""


def test_every_route_about_ones_own_is_tried_with_somebody_elses() -> None:
    own = {(route.method, route.path) for route in ROUTES if COLUMNS["customer"](route) == "own"}

    assert own == {*CALLS, *ABOUT_THE_CALLER}


async def test_nobody_sees_or_changes_what_is_somebody_elses(api: httpx.AsyncClient, resources: Resources) -> None:
    owner, other = [await headers_of(resources, Role.CUSTOMER) for _ in range(2)]
    things = await things_of(api, resources, owner)
    before = await looked_at(api, resources, things, owner)
    strangers = {
        "customer": other,
        "anonymous": {},
        "API key": await headers_of_a_key(resources, [Permission.STOCK_READ]),
    }

    for who, headers in strangers.items():
        found = {call: str((await told(api, call, things, headers)).status_code) for call in CALLS}
        cells = {(route.method, route.path): COLUMNS[who](route) for route in ROUTES}
        assert found == {call: cells[call] if cells[call] in ("401", "403") else "404" for call in CALLS}, who
    guessing = await api.get(f"/v1/orders/{things['order_id']}", params={"cart": str(uuid4())}, headers=other)
    theirs = (await api.get("/v1/orders", headers=other)).json()["items"]

    assert guessing.status_code == 404
    assert theirs == []
    assert await looked_at(api, resources, things, owner) == before
    served = {call: (await told(api, call, things, owner)).status_code for call in CALLS}
    assert {call: status for call, status in served.items() if status in (401, 403, 404)} == {}


async def test_support_reads_orders_and_fills_carts_but_does_not_cancel(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    owner, support = await headers_of(resources, Role.CUSTOMER), await headers_of(resources, Role.SUPPORT)
    things = await things_of(api, resources, owner)
    written = await written_about(resources.sessions, UUID(things["order_id"]), UUID(things["ordered_cart_id"]))

    verdict = COLUMNS["support"]
    by_call = {(route.method, route.path): verdict(route) for route in ROUTES}
    for call in CALLS:
        if call != ("POST", "/v1/checkouts") and not re.search("saved|claim|/me/", call[1]):
            status = (await told(api, call, things, support)).status_code
            assert (status == 403) is (by_call[call] == "own, 403"), (call, status)
            assert status not in (401, 404), call

    after = await written_about(resources.sessions, UUID(things["order_id"]), UUID(things["ordered_cart_id"]))
    assert after == written


async def things_of(api: httpx.AsyncClient, resources: Resources, headers: Headers) -> dict[str, str]:
    """A filled cart and a confirmed order of this customer."""
    product = await a_product(resources.sessions, stock=50)
    shopper = Shopper(api, headers=headers)
    ordered = await shopper.a_cart((product.variant_id, 1))
    answer = await shopper.check_out(ordered)
    assert answer.status_code == 201, answer.text
    cart = await shopper.a_cart((product.variant_id, 2))
    await enter(resources.sessions, UUID(cart), "FIRST", "SECOND")
    card_id, code = await a_gift_card(resources.sessions)
    await shopper.send("POST", f"/v1/carts/{cart}/gift-cards", json={"code": code})
    shown = (await shopper.send("GET", f"/v1/carts/{cart}")).json()
    address = await shopper.send("POST", "/v1/users/me/addresses", json=ADDRESS)
    [session] = (await shopper.send("GET", "/v1/users/me/sessions")).json()["items"]
    return {
        "code": "SECOND",
        "card_id": str(card_id),
        "cart_id": cart,
        "item_id": shown["items"][0]["id"],
        "variant_id": str(product.variant_id),
        "ordered_cart_id": ordered,
        "order_id": answer.json()["id"],
        "line_id": answer.json()["items"][0]["id"],
        "address_id": address.json()["id"],
        "session_id": session["id"],
    }


async def told(
    api: httpx.AsyncClient, call: tuple[str, str], things: dict[str, str], headers: Headers
) -> httpx.Response:
    method, path = call
    body = put_into(CALLS[call], things)
    key = {"Idempotency-Key": str(uuid4())} if path == "/v1/checkouts" else {}
    return await api.request(method, path.format_map(things), json=body, headers={**headers, **key})


def put_into(body: Any, things: dict[str, str]) -> Any:
    match body:
        case dict():
            return {name: put_into(value, things) for name, value in body.items()}
        case list():
            return [put_into(item, things) for item in body]
        case str():
            return body.format_map(things)
    return body


async def looked_at(
    api: httpx.AsyncClient, resources: Resources, things: dict[str, str], headers: Headers
) -> tuple[Any, Any, Written]:
    cart = (await api.get(f"/v1/carts/{things['cart_id']}", headers=headers)).json()
    book = (await api.get("/v1/users/me/addresses", headers=headers)).json()
    order = await written_about(resources.sessions, UUID(things["order_id"]), UUID(things["ordered_cart_id"]))
    return cart, book, order
