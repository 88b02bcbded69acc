"""Every refusal the API can give, as RFC 9457 problem details."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.serialization import encode_json
from litestar.types import Scope, Send
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio.service import RPCError

from api.titles import title_of
from api.tracing import trace_id_of
from domain.errors import Refusal

log = structlog.get_logger()

GIVEN_UP_STATEMENTS = Counter(
    "sutler_statements_given_up_total", "Requests answered 503 since Postgres undid their transaction", ["sqlstate"]
)

PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    title: str


PROBLEMS: dict[str, Problem] = {
    # the request itself
    "malformed_request": Problem(400, "The request cannot be read"),
    "idempotency_key_required": Problem(400, "This request needs an Idempotency-Key header"),
    "webhook_forged": Problem(400, "This webhook is not from the provider"),
    "unauthenticated": Problem(401, "Sign in first"),
    "forbidden": Problem(403, "Your role does not allow this"),
    "not_found": Problem(404, "There is no such thing"),
    "method_not_allowed": Problem(405, "This address does not take that method"),
    "request_too_slow": Problem(408, "The request did not come in time"),
    "precondition_failed": Problem(412, "It was changed in the meantime"),
    "body_too_large": Problem(413, "The body is too large"),
    "unsupported_media_type": Problem(415, "A body of this type is not taken here"),
    "validation_failed": Problem(422, "Some fields are not acceptable"),
    "idempotency_key_reused": Problem(422, "This Idempotency-Key came with another request before"),
    "rate_limited": Problem(429, "Too many requests"),
    "internal_error": Problem(500, "Something went wrong on our side"),
    "unavailable": Problem(503, "Not available for a moment; try again"),
    "maintenance": Problem(503, "The shop is being worked on; come again later"),
    # identity
    "email_taken": Problem(409, "There is an account with this e-mail address"),
    "username_taken": Problem(409, "There is an account with this username"),
    "invalid_credentials": Problem(401, "E-mail or password is wrong"),
    "email_not_verified": Problem(403, "Confirm your e-mail address first"),
    "password_required": Problem(403, "This needs your password once more"),
    "token_expired": Problem(410, "This link is no longer valid"),
    "refresh_token_invalid": Problem(401, "This refresh token is not valid"),
    "refresh_token_reused": Problem(401, "This refresh token was used before; sign in again"),
    "second_factor_required": Problem(401, "A code of your authenticator app is needed"),
    "second_factor_wrong": Problem(401, "This code is wrong, or was used before"),
    "second_factor_enabled": Problem(409, "There is a second factor already"),
    "too_many_mails": Problem(409, "Enough mails about this were sent"),
    "group_exists": Problem(409, "There is a customer group with this code"),
    "address_book_full": Problem(409, "There are too many addresses in this book"),
    "insufficient_credit": Problem(409, "There is not that much store credit"),
    # catalogue and stock
    "sku_taken": Problem(409, "There is a variant with this SKU"),
    "price_list_exists": Problem(409, "There is a price list with this code"),
    "attribute_in_use": Problem(409, "Products rely on this attribute"),
    "slug_taken": Problem(409, "There is something with this slug"),
    "import_transition_not_allowed": Problem(409, "The import cannot change like that"),
    "nothing_to_retry": Problem(409, "No row of this import has failed"),
    "export_transition_not_allowed": Problem(409, "The export cannot change like that"),
    "export_not_finished": Problem(409, "The file is not written yet"),
    "too_many_webhook_endpoints": Problem(409, "There are too many webhook endpoints"),
    "too_many_webhook_secrets": Problem(409, "Too many secrets sign for this endpoint"),
    "webhook_endpoint_disabled": Problem(409, "The webhook endpoint is disabled"),
    "replay_too_long": Problem(409, "There are too many events in this time"),
    "event_gone": Problem(410, "This event is not kept any more"),
    "export_file_gone": Problem(410, "The file of this export is not kept any more"),
    "import_rows_gone": Problem(410, "The rows of this import are not kept any more"),
    "insufficient_stock": Problem(409, "There is not that much stock"),
    "location_exists": Problem(409, "There is a location with this code"),
    "location_in_use": Problem(409, "This location cannot be closed"),
    "shipping_zone_in_use": Problem(409, "Shipping methods go to this zone"),
    "tax_region_exists": Problem(409, "The table of taxes has this region already"),
    "tax_rate_exists": Problem(409, "The region has a rate of this name for this class already"),
    # carts, checkout and orders
    "cart_completed": Problem(409, "This cart has become an order"),
    "cart_in_checkout": Problem(409, "This cart is being checked out"),
    "cart_merged": Problem(410, "This cart was put into another one"),
    "cart_currencies_differ": Problem(409, "These carts are in different currencies"),
    "cart_full": Problem(422, "There is not that much room in a cart"),
    "cart_incomplete": Problem(422, "The cart lacks something that an order needs"),
    "not_sold_in_currency": Problem(422, "This is not sold in the cart's currency"),
    "payment_method_unavailable": Problem(422, "This payment method is not offered"),
    "out_of_stock": Problem(409, "Not enough stock"),
    "price_changed": Problem(409, "The total has changed"),
    "tax_unknown": Problem(409, "The shop does not know which tax is due there"),
    "tax_unavailable": Problem(503, "It could not be found out which tax is due; nothing was charged"),
    "promotion_used_up": Problem(409, "A promotion has been used as often as it can be"),
    "promotion_not_applicable": Problem(422, "This promotion does not apply to this cart"),
    "gift_card_not_usable": Problem(422, "This gift card cannot pay for this cart"),
    "store_credit_needs_account": Problem(409, "Store credit needs an account"),
    "code_taken": Problem(409, "There is a promotion with this code"),
    "payment_declined": Problem(402, "The payment was declined"),
    "payment_unavailable": Problem(503, "The payment provider cannot be reached; nothing was charged"),
    "payment_mismatch": Problem(409, "The provider held another amount; it was given back"),
    "checkout_cancelled": Problem(409, "The checkout was cancelled"),
    "order_held": Problem(409, "Nothing of this order may leave"),
    "order_not_cancellable": Problem(409, "The order can no longer be cancelled"),
    "address_not_changeable": Problem(409, "The order goes to the address that it has"),
    "order_transition_not_allowed": Problem(409, "The order cannot change like that"),
    "units_not_cancellable": Problem(409, "These units can no longer be cancelled"),
    "units_not_available": Problem(409, "These units are not waiting to be shipped"),
    "refund_exceeds_captured": Problem(409, "There is not that much to refund"),
    "refund_not_possible_yet": Problem(409, "The provider cannot refund this yet"),
    "payment_disputed": Problem(409, "The customer's bank has taken this money back"),
    "units_not_refundable": Problem(409, "These units cannot be refunded"),
    "nothing_to_resolve": Problem(409, "The order does not wait for such a decision"),
    "refund_refused": Problem(409, "The provider refuses to refund"),
    "units_not_returnable": Problem(409, "These units cannot be returned"),
    "return_transition_not_allowed": Problem(409, "The return cannot change like that"),
    "not_a_bank_transfer": Problem(409, "This money does not go by bank transfer"),
    "transfer_noted_before": Problem(409, "Another bank transfer was noted before"),
    "refund_transition_not_allowed": Problem(409, "The refund cannot change like that"),
    "capture_refused": Problem(409, "The provider refuses to take the money"),
}


class FieldError(BaseModel):
    pointer: str = Field(description="JSON pointer to the field", examples=["/items/0/quantity"])
    detail: str


class ProblemDetails(BaseModel):
    """RFC 9457 problem details. Decide by ``code``; the texts may change."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    trace_id: str
    errors: list[FieldError] | None = None


ANY_ROUTE = (
    "malformed_request",
    "request_too_slow",
    "body_too_large",
    "validation_failed",
    "rate_limited",
    "internal_error",
    "unavailable",
    "maintenance",
)


def refuses(*codes: str) -> dict[int, ResponseSpec]:
    """What a route can answer besides success, for its ``responses=``; the codes that every route can give included."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in (*codes, *ANY_ROUTE):
        by_status[PROBLEMS[code].status].append(code)
    return {
        status: ResponseSpec(
            data_container=ProblemDetails,
            generate_examples=False,
            media_type=PROBLEM_JSON,
            description=f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in given)}",
        )
        for status, given in sorted(by_status.items())
    }


def problem(
    request: Request[Any, Any, Any],
    code: str,
    detail: str,
    *,
    errors: Iterable[dict[str, str]] = (),
    headers: dict[str, str] | None = None,
    **facts: Any,
) -> Response[dict[str, Any]]:
    body = problem_body(
        code, detail, instance=request.url.path, trace_id=trace_id_of(request.scope), errors=errors, **facts
    )
    return Response(
        body | {"title": title_of(code, PROBLEMS[code].title, request.scope["headers"])},
        status_code=PROBLEMS[code].status,
        media_type=PROBLEM_JSON,
        headers=headers,
    )


def problem_body(
    code: str, detail: str, *, instance: str, trace_id: str, errors: Iterable[dict[str, str]] = (), **facts: Any
) -> dict[str, Any]:
    known = PROBLEMS[code]
    body: dict[str, Any] = {
        **facts,  # first, so that no fact can take the name of one of RFC 9457's own members
        "type": f"urn:sutler:problem:{code}",
        "title": known.title,
        "status": known.status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "trace_id": trace_id,
    }
    if field_errors := list(errors):
        body["errors"] = field_errors
    return body


async def refuse(
    scope: Scope,
    send: Send,
    code: str,
    detail: str,
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    **facts: Any,
) -> None:
    """The same for a request that does not get as far as the framework."""
    told = problem_body(code, detail, instance=scope["path"], trace_id=trace_id_of(scope), **facts)
    body = encode_json(told | {"title": title_of(code, PROBLEMS[code].title, scope["headers"])})
    of_body = [(b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode())]
    start_headers = [*of_body, *headers]
    await send({"type": "http.response.start", "status": PROBLEMS[code].status, "headers": start_headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def on_refusal(request: Request[Any, Any, Any], refusal: Refusal) -> Response[dict[str, Any]]:
    if refusal.code not in PROBLEMS:  # a code without an entry is our mistake, not the client's
        return on_bug(request, refusal)
    headers = HEADERS_OF_STATUS.get(PROBLEMS[refusal.code].status)
    if "retry_after" in refusal.facts:
        headers = {"Retry-After": str(refusal.facts["retry_after"])}
    return problem(request, refusal.code, refusal.detail, headers=headers, **refusal.facts)


HEADERS_OF_STATUS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}


def on_validation(request: Request[Any, Any, Any], error: ValidationException) -> Response[dict[str, Any]]:
    """Which fields, and what is wrong with each. The values themselves are not repeated: one may be a password."""
    # Pydantic's own errors keep every field's path in parts; Litestar's copy of them joins it with dots.
    of_pydantic = getattr(error.__cause__, "errors", None)
    if isinstance(of_pydantic, list):
        errors = [{"pointer": pointer(item["loc"]), "detail": _sentence(item["msg"])} for item in of_pydantic]
    else:
        errors = [_of_litestar(item) for item in error.extra or [] if isinstance(item, dict)]
        if missing := MISSING_PARAMETER.match(error.detail):
            errors.append({"pointer": pointer([missing[1]]), "detail": "Field required"})
    return problem(request, "validation_failed", "Some fields are not acceptable.", errors=errors)


MISSING_PARAMETER = re.compile(r"Missing required \w+ parameter '([^']+)'")


def _of_litestar(item: dict[str, Any]) -> dict[str, str]:
    key, detail = item.get("key"), str(item.get("message", ""))
    if key == "data":
        return {"pointer": "", "detail": "This request needs a JSON body."}
    return {"pointer": pointer([key] if key else []), "detail": _sentence(detail)}


def pointer(path: Iterable[str | int]) -> str:
    """RFC 6901; the empty pointer is the whole body.

    Postgres, which may have to keep the answer, has no zero characters.
    """
    parts = (str(part).replace("~", "~0").replace("/", "~1").replace("\0", "\N{SYMBOL FOR NULL}") for part in path)
    return "".join(f"/{part}" for part in parts)


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")


CODE_OF_STATUS = {
    400: "malformed_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}


def on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    code = CODE_OF_STATUS.get(error.status_code)
    if code is None:
        return on_bug(request, error)
    detail = {
        "not_found": f"Nothing is at {request.url.path}.",
        "method_not_allowed": f"{request.method} is not possible at {request.url.path}.",
        "malformed_request": "The body is not valid JSON.",
        "body_too_large": "The body is larger than we take.",
    }.get(code, error.detail)
    headers = {
        k: v for k, v in (error.headers or {}).items() if k.lower() in {"allow", "retry-after", "www-authenticate"}
    }
    if code == "unauthenticated":
        headers.setdefault("WWW-Authenticate", "Bearer")
    return problem(request, code, detail, headers=headers)


def on_outage(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """A part we depend on is away; what was asked may be asked again."""
    log.warning("dependency_unavailable", error=type(error).__name__)
    return problem(
        request, "unavailable", "A part of the shop is not reachable for a moment.", headers={"Retry-After": "1"}
    )


SERVER_COMES_OR_GOES = ("08", "57P01", "57P02", "57P03", "53300")
"""How the SQLSTATE begins when Postgres starts, stops, crashes, or has no connection left."""


GIVEN_UP = ("57014", "55P03", "25P03", "40P01", "40001")
"""The SQLSTATE when Postgres has undone a transaction that took too long, or stood in the way of another."""


def on_database_error(request: Request[Any, Any, Any], error: DBAPIError) -> Response[dict[str, Any]]:
    state = getattr(error.orig, "sqlstate", None) or ""
    if state in GIVEN_UP:
        return on_giving_up(request, state)
    if error.connection_invalidated or state.startswith(SERVER_COMES_OR_GOES):
        return on_outage(request, error)
    return on_bug(request, error)


def on_giving_up(request: Request[Any, Any, Any], state: str) -> Response[dict[str, Any]]:
    """Nothing is half done: what the transaction had done was undone with it."""
    GIVEN_UP_STATEMENTS.labels(state).inc()
    log.warning("statement_given_up", path=request.url.path, sqlstate=state)
    return problem(
        request, "unavailable", "This took too long and was given up; ask again.", headers={"Retry-After": "1"}
    )


def on_bug(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """Nothing of the error reaches the client: its text may hold anything."""
    log.error("unhandled_error", path=request.url.path, exc_info=error)
    return problem(request, "internal_error", "The error was recorded under this trace id.")


EXCEPTION_HANDLERS: dict[Any, Any] = {
    Refusal: on_refusal,
    ValidationException: on_validation,
    HTTPException: on_http,
    DBAPIError: on_database_error,
    OperationalError: on_outage,
    InterfaceError: on_outage,
    PoolTimeout: on_outage,
    ConnectionError: on_outage,
    TimeoutError: on_outage,
    RPCError: on_outage,
    Exception: on_bug,
}
