"""How the API says no: RFC 9457 problem details, whatever went wrong."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from litestar import Litestar, post
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.testing import TestClient
from pydantic import Field
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from api.app import BODIES
from api.errors import EXCEPTION_HANDLERS
from api.schemas import Amount, Input
from api.tracing import tracing

REGISTER = "/v1/auth/register"
JSON = {"Content-Type": "application/json"}


def is_a_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "trace_id"} <= body.keys()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:sutler:problem:{code}"
    assert body["instance"] == answer.request.url.path
    assert answer.headers["x-request-id"]
    return body


async def test_an_address_where_nothing_is(api: httpx.AsyncClient) -> None:
    body = is_a_problem(await api.get("/v1/nothing/here"), 404, "not_found")
    assert body["detail"] == "Nothing is at /v1/nothing/here."


async def test_a_method_that_an_address_does_not_take(api: httpx.AsyncClient) -> None:
    answer = await api.delete(REGISTER)
    is_a_problem(answer, 405, "method_not_allowed")
    assert {method.strip() for method in answer.headers["allow"].split(",")} == {"POST", "OPTIONS"}


@pytest.mark.parametrize("mebibytes", [1, 20])
async def test_a_body_that_is_too_large(api: httpx.AsyncClient, mebibytes: int) -> None:
    too_much = b'{"username": "' + b"a" * mebibytes * 1024 * 1024 + b'"}'
    is_a_problem(await api.post(REGISTER, content=too_much, headers=JSON), 413, "body_too_large")


async def test_a_body_of_unknown_length_that_is_too_large(api: httpx.AsyncClient) -> None:
    async def too_much() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"a" * 64 * 1024

    is_a_problem(await api.post(REGISTER, content=too_much(), headers=JSON), 413, "body_too_large")


@pytest.mark.parametrize("body", [b'{"username": ', b"{'username': 1}", b"\xff\xfe", b'"\\ud800"', b"nonsense"])
async def test_a_body_that_is_no_json(api: httpx.AsyncClient, body: bytes) -> None:
    is_a_problem(await api.post(REGISTER, content=body, headers=JSON), 400, "malformed_request")


async def test_a_body_that_is_missing(api: httpx.AsyncClient) -> None:
    body = is_a_problem(await api.post(REGISTER), 422, "validation_failed")
    assert body["errors"] == [{"pointer": "", "detail": "This request needs a JSON body."}]


@pytest.mark.parametrize("json", [[], "text", 5, [{"username": "ada"}]])
async def test_a_body_that_is_no_object(api: httpx.AsyncClient, json: Any) -> None:
    body = is_a_problem(await api.post(REGISTER, json=json), 422, "validation_failed")
    assert [error["pointer"] for error in body["errors"]] == [""]


async def test_every_field_that_is_missing_is_named(api: httpx.AsyncClient) -> None:
    body = is_a_problem(await api.post(REGISTER, json={}), 422, "validation_failed")
    assert body["errors"] == [
        {"pointer": f"/{field}", "detail": "Field required"} for field in ("username", "email", "password")
    ]


async def test_the_callers_trace_and_request_id_come_back(api: httpx.AsyncClient) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Request-Id": "my-request-7"}
    answer = await api.get("/v1/nothing", headers=headers)
    assert answer.json()["trace_id"] == trace
    assert answer.headers["x-request-id"] == "my-request-7"


class Item(Input):
    quantity: Annotated[int, Field(ge=1, le=999, strict=True)]
    price: Amount


class Order(Input):
    items: list[Item]


@post("/orders")
async def place(data: JSONBody[Order], limit: Annotated[int, QueryParameter(ge=1)] = 1) -> UUID:
    raise AssertionError("never gets here")


class StillStarting(Exception):
    sqlstate = "57P03"


@post("/broken")
async def broken(how: FromQuery[str]) -> None:
    raise {
        "duplicate": IntegrityError("INSERT … 'secret'", {"email": "secret"}, Exception("secret")),
        "database": OperationalError("SELECT 'secret'", {}, Exception("secret")),
        "database that starts up": DBAPIError("SELECT 'secret'", {}, StillStarting("secret")),
        "connection": ConnectionRefusedError("secret"),
        "bug": KeyError("secret"),
    }[how]


@pytest.fixture(scope="module")
def small_shop() -> Iterator[TestClient[Litestar]]:
    """An API with the problems of the real one and routes that have them."""
    app = Litestar([place, broken], exception_handlers=EXCEPTION_HANDLERS, plugins=[BODIES])
    app.asgi_handler = tracing(app.asgi_handler)
    with TestClient(app) as client:
        yield client


PRICE = {"amount": "1.00", "currency": "USD"}


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        ({"quantity": 0, "price": PRICE}, "/items/1/quantity"),
        ({"quantity": 1.5, "price": PRICE}, "/items/1/quantity"),
        ({"quantity": "1", "price": PRICE}, "/items/1/quantity"),
        ({"quantity": 1, "price": {"amount": 1.0, "currency": "USD"}}, "/items/1/price/amount"),
        ({"quantity": 1, "price": {**PRICE, "a.b/c~d": 1}}, "/items/1/price/a.b~1c~0d"),
        ({"quantity": 1, "price": {"amount": "1.000", "currency": "USD"}}, "/items/1/price"),
        ({"quantity": 1}, "/items/1/price"),
        ("text", "/items/1"),
    ],
)
def test_a_wrong_value_deep_inside_is_pointed_at(small_shop: TestClient[Litestar], item: Any, pointer: str) -> None:
    answer = small_shop.post("/orders", json={"items": [{"quantity": 1, "price": PRICE}, item]})
    body = is_a_problem(answer, 422, "validation_failed")
    assert [error["pointer"] for error in body["errors"]] == [pointer]
    assert not body["errors"][0]["detail"].startswith("Value error")


@pytest.mark.parametrize("limit", ["0", "many"])
def test_a_wrong_query_parameter_is_pointed_at(small_shop: TestClient[Litestar], limit: str) -> None:
    answer = small_shop.post("/orders", params={"limit": limit}, json={"items": []})
    body = is_a_problem(answer, 422, "validation_failed")
    assert [error["pointer"] for error in body["errors"]] == ["/limit"]


def test_a_missing_query_parameter_is_named(small_shop: TestClient[Litestar]) -> None:
    body = is_a_problem(small_shop.post("/broken"), 422, "validation_failed")
    assert body["errors"] == [{"pointer": "/how", "detail": "Field required"}]


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("duplicate", 500, "internal_error"),
        ("bug", 500, "internal_error"),
        ("database", 503, "unavailable"),
        ("database that starts up", 503, "unavailable"),
        ("connection", 503, "unavailable"),
    ],
)
def test_what_went_wrong_inside_stays_inside(
    small_shop: TestClient[Litestar], how: str, status: int, code: str
) -> None:
    answer = small_shop.post("/broken", params={"how": how})
    is_a_problem(answer, status, code)
    assert "secret" not in answer.text
    assert answer.headers.get("retry-after") == ("1" if status == 503 else None)
