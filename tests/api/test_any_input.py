"""Bodies, cursors and webhooks that nobody of ours has written."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as with_examples
from hypothesis import strategies as st
from litestar.routes import HTTPRoute
from pydantic import TypeAdapter, ValidationError

from api.app import create_app
from api.cart_schemas import NewCart, NewItem
from api.checkouts import NewCheckout
from api.paging import decode_cursor, uuid_in_cursor
from domain.errors import Refusal
from providers.payments import WebhookForged
from providers.payments.stripe import StripePayments, stripe_payments
from runtime.settings import Settings
from sandbox.webhooks import signature

SORTS = ("relevance", "newest", "name", "price", "-price")
LISTS = (
    "/v1/orders",
    "/v1/admin/orders",
    "/v1/admin/audit",
    "/v1/admin/breaches",
    "/v1/admin/events",
    "/v1/admin/webhook-endpoints",
    "/v1/admin/locations",
    "/v1/admin/customer-groups",
    "/v1/admin/price-lists",
    "/v1/admin/products",
    "/v1/admin/stock",
    "/v1/admin/catalog/imports",
)
ID = "0190a000-0000-7000-8000-000000000000"
HUGE = 10**300
KEYS = [
    '"x"',
    '"\\u0000"',
    '"\\ud800"',
    '"9999-99-99"',
    f'"{ID}"',
    "1",
    "-1",
    str(2**40),
    str(2**63),
    str(HUGE),
    "1.5",
    "1e999",
    "NaN",
    "true",
    "null",
    "{}",
    "[[[[]]]]",
    f"[9,{HUGE}]",
]
POSITIONS = [f"[{key}]" for key in KEYS] + [f'[{key},"{last}"]' for key in KEYS for last in ("x\\u0000", ID)]


def cursor_of(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


@pytest.mark.parametrize("path", LISTS)
async def test_a_cursor_of_ones_own_is_followed_or_refused(
    api: httpx.AsyncClient, admin: dict[str, str], path: str
) -> None:
    for cursor in ["", "%00", "\xff", "W10", *map(cursor_of, POSITIONS)]:
        answer = await api.get(path, params={"cursor": cursor, "limit": 1}, headers=admin)
        assert answer.status_code in (200, 400), (cursor, answer.text)


@pytest.mark.parametrize("sort", SORTS)
async def test_a_cursor_of_ones_own_is_followed_or_refused_in_every_order(api: httpx.AsyncClient, sort: str) -> None:
    for key in KEYS:
        cursor = cursor_of(f'["{sort}",{key},"{ID}"]')
        answer = await api.get("/v1/products", params={"q": "a", "sort": sort, "cursor": cursor, "limit": 1})
        assert answer.status_code in (200, 400), (key, answer.text)


@given(st.text(max_size=100) | st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_a_cursor_of_any_letters_is_a_position_or_refused(cursor: str) -> None:
    for length in (1, 2, 3):
        try:
            position = decode_cursor(cursor, length)
            assert position is not None
            assert len(position) == length
            uuid_in_cursor(position[0])
        except Refusal:
            continue


def names_in(schema: object) -> set[str]:
    """Of all fields, however deep."""
    match schema:
        case dict():
            fields = schema.get("properties")
            of_fields = set(fields) if isinstance(fields, dict) else set()
            return of_fields.union(*(names_in(part) for part in schema.values()))
        case list():
            return set[str]().union(*(names_in(part) for part in schema))
    return set()


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["", "\0", "1.00", "1e999", "-0.00", "NaN", "9" * 400, "USD", ID, "2026-02-30T25:00:00Z", HUGE, -1]
    )
)


def bodies_of(names: set[str]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from(sorted(names)) | st.text(max_size=4)
    return st.recursive(
        VALUES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=len(names)),
        max_leaves=15,
    )


def test_a_body_of_any_shape_is_taken_or_refused_for_what_is_in_it() -> None:
    shapes = {
        data.annotation
        for route in create_app(Settings()).routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if (data := handler.parsed_data_field) is not None
    }
    assert {NewCart, NewItem, NewCheckout} <= shapes
    for shape in sorted(shapes, key=str):
        takes_or_refuses(TypeAdapter(shape))


def takes_or_refuses(adapter: TypeAdapter[Any]) -> None:
    @given(bodies_of(names_in(adapter.json_schema())))
    @with_examples(deadline=None, max_examples=40, database=None)
    def read(body: Any) -> None:
        with suppress(ValidationError):
            adapter.validate_python(body)

    read()


@pytest.fixture(scope="module")
async def stripe() -> AsyncIterator[StripePayments]:
    async with stripe_payments(
        api_base="http://127.0.0.1:1", api_key="sk", webhook_secret="whsec", return_url="http://shop", timeout_seconds=1
    ) as provider:
        yield provider


EVENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "type", "data", "object", "metadata", "payment_id", "status", "amount", "currency"]),
            inner,
        )
    ),
    max_leaves=10,
)
DISPUTES = st.fixed_dictionaries(
    {
        "id": st.text(max_size=4) | st.integers(),
        "type": st.just("charge.dispute.created"),
        "created": st.integers() | st.none() | st.text(max_size=3),
        "data": st.fixed_dictionaries(
            {
                "object": EVENTS
                | st.fixed_dictionaries(
                    {
                        "id": st.text(max_size=4),
                        "status": st.sampled_from(["needs_response", "won", "lost"]),
                        "payment_intent": st.text(min_size=1, max_size=4),
                        "amount": st.integers() | st.floats(),
                        "currency": st.sampled_from(["usd", "xxx", ""]) | st.none(),
                        "reason": st.text(max_size=3),
                        "created": st.integers() | st.floats(),
                    }
                )
            }
        ),
    }
)


@given(st.one_of(EVENTS, DISPUTES).map(lambda event: json.dumps(event).encode()) | st.binary(max_size=50))
@with_examples(deadline=None, max_examples=150)
def test_a_webhook_of_any_shape_is_an_event_or_no_webhook_of_stripe(stripe: StripePayments, body: bytes) -> None:
    headers = {"stripe-signature": signature(body, b"whsec", int(time.time()))}
    with suppress(WebhookForged):
        stripe.read_webhook(body, headers)


@given(st.binary(max_size=30), st.text(max_size=60))
def test_a_signature_of_any_letters_is_none(stripe: StripePayments, body: bytes, text: str) -> None:
    with pytest.raises(WebhookForged):
        stripe.read_webhook(body, {"stripe-signature": text})
