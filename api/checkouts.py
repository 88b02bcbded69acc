"""Checkout: one call that answers with the placed order."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, post
from litestar.openapi.datastructures import ResponseSpec
from pydantic import Field

from api.auth import Caller
from api.cart_access import usable
from api.errors import PROBLEMS, problem, problem_body, refuses
from api.idempotency import REPLAYED, Key, caller_key, fingerprint, media_type_of, with_people, without_people
from api.intake import held_until_the_engine_is_back, to_start
from api.metrics import TURNED_AWAY
from api.orders import OrderOut, order_seen_by
from api.schemas import Amount, Input
from api.stories import EngineAwayError, Stories
from api.tracing import trace_id_of
from db import baskets, checkouts
from db.admissions import AdmissionGate, TurnedAway
from db.base import new_id
from db.baskets import WantedCart
from db.checkouts import Intake, Wish
from domain.errors import Refusal, unacceptable
from domain.inventory import out_of_stock
from domain.orders import CancelReason, OrderStatus, Refused
from domain.payments import MANUAL
from domain.permissions import Permission
from runtime.resources import Resources


class ManualPayment(Input):
    provider: Annotated[str, Field(pattern="^manual$")]


class NewCheckout(Input):
    cart_id: UUID
    payment_method: Annotated[str, Field(pattern=r"^pm_[A-Za-z0-9_]{1,200}$")] | ManualPayment = Field(
        description='A Stripe payment method, or `{"provider": "manual"}` for a bank transfer',
        examples=["pm_card_visa", {"provider": "manual"}],
    )
    expected_total: Amount | None = Field(
        default=None, description="What the customer was shown; another total is answered `price_changed`"
    )
    expected_amount_due: Amount | None = Field(
        default=None, description="The same of what gift cards and store credit leave to pay"
    )


@post(
    "/v1/checkouts",
    permission=Permission.SHOP,
    others=Permission.CARTS_ASSIST,
    tags=["Checkout"],
    summary="Order a cart",
    responses={
        201: ResponseSpec(data_container=OrderOut, description="The confirmed order", generate_examples=False),
        202: ResponseSpec(
            data_container=OrderOut,
            description="Not decided yet: look at `Location`; or the payer must act: see `payment.next_action`, or "
            "send a bank transfer by `payment.due_at`, as the mail says",
            generate_examples=False,
        ),
    }
    | refuses(
        "idempotency_key_required",
        "idempotency_key_reused",
        "unauthenticated",
        "not_found",
        "payment_declined",
        "payment_unavailable",
        "payment_mismatch",
        "out_of_stock",
        "price_changed",
        "tax_unknown",
        "tax_unavailable",
        "promotion_used_up",
        "gift_card_not_usable",
        "cart_completed",
        "cart_merged",
        "checkout_cancelled",
        "cart_incomplete",
        "not_sold_in_currency",
        "payment_method_unavailable",
    ),
)
async def check_out(
    data: NewCheckout,
    request: Request[Any, Any, Any],
    caller: Caller,
    resources: Resources,
    stories: Stories,
    gate: AdmissionGate,
    idempotency_key: Key,
) -> Response[Any]:
    """Prices the cart, reserves its goods, authorises the payment and confirms the order.

    201 with the confirmed order. 202 with its `Location` when that takes longer than the wait or the payer must act
    first (`payment.next_action`). An order that is paid by bank transfer is answered 202 as well: its goods are held
    until `payment.due_at`, and it is confirmed when the money has come. Whatever a refused checkout did is undone
    before it is answered.
    """
    if idempotency_key is None:
        raise Refusal("idempotency_key_required", "POST /v1/checkouts needs an Idempotency-Key header.")
    if isinstance(data.payment_method, ManualPayment) and resources.settings.transfer_to is None:
        raise Refusal("payment_method_unavailable", "This shop does not take bank transfers.")
    checkout = await taken_in(data, idempotency_key, caller, request, resources, gate)
    if isinstance(checkout, TurnedAway):
        TURNED_AWAY.inc()
        return _turned_away(checkout, request)
    replayed = REPLAYED if checkout.is_repeat else {}
    if checkout.answer is not None and checkout.answer_status is not None:
        told = checkout.answer
        if checkout.answer_status < 400:
            told = with_people(told, (await seen(checkout, data, caller, resources)).model_dump(mode="json"))
        return _stored(told, checkout.answer_status, replayed)
    try:
        outcome = await stories.check_out(
            to_start(
                checkout,
                str(caller.user_id) if caller.user_id else "guest",
                transfer_term=resources.settings.transfer_term,
            )
        )
    except EngineAwayError:
        outcome = await held_until_the_engine_is_back(checkout, resources)
    if outcome is not None and outcome.refused is not None:
        gate.refused(_short_of(outcome.refused))
        return await _refused(outcome.refused, checkout, request, resources, replayed)
    async with resources.autocommit() as session:
        order = await order_seen_by(session, checkout.order_id, caller, data.cart_id)
        body = order.model_dump(mode="json")
        if order.status not in (OrderStatus.PENDING, OrderStatus.CANCELLED):
            await checkouts.remember_answer(session, checkout.order_id, 201, without_people(body))
    match order.status:
        case OrderStatus.PENDING:
            return Response(body, status_code=202, headers={"Location": _location(order, caller, data), **replayed})
        case OrderStatus.CANCELLED:
            return await _refused(_why_cancelled(order), checkout, request, resources, replayed)
    return Response(body, status_code=201, headers=replayed)


async def seen(checkout: Intake, data: NewCheckout, caller: Caller, resources: Resources) -> OrderOut:
    async with resources.autocommit() as session:
        return await order_seen_by(session, checkout.order_id, caller, data.cart_id)


async def taken_in(
    data: NewCheckout,
    key: str,
    caller: Caller,
    request: Request[Any, Any, Any],
    resources: Resources,
    gate: AdmissionGate,
) -> Intake | TurnedAway:
    """Write the wish down before anything is started; refuses a cart that nobody here may order.

    Of who is turned away at the gate nothing is written. A cart whose checkout is on its way was admitted before.
    """
    wish = Wish(
        caller=caller_key(caller, request),
        idempotency_key=key,
        request_hash=fingerprint(data, "checkout"),
        cart_id=data.cart_id,
        payment_method=MANUAL if isinstance(data.payment_method, ManualPayment) else data.payment_method,
        expected_total=data.expected_total.as_money().minor if data.expected_total else None,
        expected_due=data.expected_amount_due.as_money().minor if data.expected_amount_due else None,
    )
    async with resources.autocommit() as session:
        if checkout := await checkouts.repeated(session, wish):
            return checkout
        found = usable(await baskets.wanted(session, data.cart_id), caller)
    if found.cart["completed_at"] is not None:
        raise Refusal("cart_completed", "This cart has become an order.", order_id=str(found.cart["order_id"]))
    baskets.check_is_complete(found.cart, found.demand)
    _check_expects_its_currency(found, data)
    order_id = new_id()
    if not found.cart["has_a_checkout"] and (away := await gate.turns_away(wish, order_id, found.demand)):
        return away
    async with resources.sessions.begin() as session:
        return await checkouts.take_in(session, wish, order_id=order_id)


def _check_expects_its_currency(found: WantedCart, data: NewCheckout) -> None:
    for name in ("expected_total", "expected_amount_due"):
        expected: Amount | None = getattr(data, name)
        if expected and expected.currency != found.cart["currency"]:
            raise unacceptable(f"/{name}/currency", f"the cart is in {found.cart['currency']}")


def _location(order: OrderOut, caller: Caller, data: NewCheckout) -> str:
    guest = "" if caller.user_id is not None else f"?cart={data.cart_id}"
    return f"/v1/orders/{order.id}{guest}"


def _why_cancelled(order: OrderOut) -> Refused:
    match order.cancel_reason:
        case CancelReason.PAYMENT_DECLINED | CancelReason.PAYMENT_EXPIRED:
            declined = order.payment.decline_code if order.payment else None
            return Refused(
                code="payment_declined", detail="The payment was declined.", facts={"decline_code": declined}
            )
        case CancelReason.PAYMENT_MISMATCH:
            return Refused(code="payment_mismatch", detail="The provider held another amount; it was given back.")
        case CancelReason.PAYMENT_UNAVAILABLE:
            return Refused(code="payment_unavailable", detail="The order could not be paid; nothing was charged.")
    return Refused(code="checkout_cancelled", detail="The checkout was cancelled; nothing was charged.")


def _turned_away(away: TurnedAway, request: Request[Any, Any, Any]) -> Response[Any]:
    refusal = out_of_stock(away.shortages)
    return problem(request, refusal.code, refusal.detail, headers=REPLAYED if away.is_repeat else None, **refusal.facts)


def _short_of(refused: Refused) -> list[UUID]:
    """The variants that a checkout lacked units of."""
    return [UUID(item["variant_id"]) for item in refused.facts["items"]] if refused.code == "out_of_stock" else []


async def _refused(
    refused: Refused,
    checkout: Intake,
    request: Request[Any, Any, Any],
    resources: Resources,
    headers: dict[str, str],
) -> Response[Any]:
    code = refused.code if refused.code in PROBLEMS else "internal_error"
    body = problem_body(
        code, refused.detail, instance=request.url.path, trace_id=trace_id_of(request.scope), **refused.facts
    )
    await _remember(resources, checkout.order_id, PROBLEMS[code].status, body)
    return _stored(body, PROBLEMS[code].status, headers)


async def _remember(resources: Resources, order_id: UUID, status: int, answer: dict[str, Any]) -> None:
    async with resources.autocommit() as session:
        await checkouts.remember_answer(session, order_id, status, answer)


def _stored(answer: dict[str, Any], status: int, headers: dict[str, str]) -> Response[Any]:
    return Response(answer, status_code=status, media_type=media_type_of(status), headers=headers)
