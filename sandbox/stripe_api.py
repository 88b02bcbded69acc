"""Stripe's REST API over ``Payments``: who may call, which operation is meant, and what is answered."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from typing import Any, NoReturn, TypeVar

import msgspec

from sandbox import forms, params, search
from sandbox.errors import StripeError, no_such, something_broke
from sandbox.faults import Faults, OperationName, lasted
from sandbox.idempotency import Claim, Idempotency
from sandbox.objects import Charge, Dispute, Event, PaymentIntent, Refund, new_id
from sandbox.payments import Cause, Payments
from sandbox.shelves import Shelf, Shelves
from sandbox.store import Store
from sandbox.taxes import Taxes
from sandbox.wire import Answer, Call, ConnectionCut

log = logging.getLogger("sandbox.stripe")

T = TypeVar("T", PaymentIntent, Charge, Refund, Dispute, Event)
Run = Callable[[str, Any, Cause], object]

NOUNS = {"payment_intents": "payment_intent", "charges": "charge", "refunds": "refund", "events": "event"}
EXPANDABLE = {"latest_charge": "charges", "charge": "charges", "payment_intent": "intents"}
READS = frozenset({"retrieve", "list", "search"})


@dataclass(frozen=True, slots=True)
class Operation:
    name: OperationName
    params: type[params.Params]
    run: Run


class StripeApi:
    def __init__(
        self,
        store: Store,
        shelves: Shelves,
        payments: Payments,
        idempotency: Idempotency,
        faults: Faults,
        secret_key: str,
    ) -> None:
        self._store = store
        self._shelves = shelves
        self._payments = payments
        self._idempotency = idempotency
        self._faults = faults
        self._secret_key = secret_key.encode()
        self._taxes = Taxes(shelves)
        self._operations = self._all_operations()

    async def answer(self, call: Call) -> Answer:
        """The answer Stripe would give, with the faults that were asked for."""
        request_id = new_id("req")
        try:
            answer = await self._answer(call, request_id)
        except StripeError as error:
            answer = Answer(error.status, error.body)
        answer.headers["Request-Id"] = request_id
        return answer

    async def _answer(self, call: Call, request_id: str) -> Answer:
        self._authenticate(call.key)
        operation, object_id = self._route(call.method, call.path)
        pairs = call.form if call.method == "POST" else call.query
        claim = _claim(call, pairs)
        with self._idempotency.only_one(claim):
            mishap = self._faults.for_payment(operation.name)
            await lasted(mishap, call)
            if mishap.refuses:
                raise something_broke()
            if first := self._idempotency.first_answer(claim):
                answer = Answer(*first, headers={"Idempotent-Replayed": "true"})
            else:
                wish = forms.read(pairs, operation.params)
                work = partial(operation.run, object_id, wish, Cause(request_id, claim.key if claim else None))
                answer = self._performed(
                    operation,
                    _say_no if mishap.says_no else lambda: self._shown(work(), wish),
                    claim,
                    breaks=mishap.breaks,
                )
        if claim:
            answer.headers["Idempotency-Key"] = claim.key
        if mishap.drops_answer:
            raise ConnectionCut
        return answer

    def _authenticate(self, credentials: str) -> None:
        if not credentials:
            raise StripeError(
                401,
                "You did not provide an API key. You need to provide your API key in the Authorization header, using "
                "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            )
        if not compare_digest(credentials.encode(), self._secret_key):
            raise StripeError(401, f"Invalid API Key provided: {credentials[:8]}***")

    def _route(self, method: str, path: str) -> tuple[Operation, str]:
        operation = self._operations.get(f"{method} {path}")
        if operation:
            return operation, ""
        parts = path.split("/")
        place = 4 if path.startswith("/v1/tax/") else 3
        if len(parts) > place:
            object_id, parts[place] = parts[place], "{id}"
            operation = self._operations.get(f"{method} {'/'.join(parts)}")
            if operation:
                return operation, object_id
        raise StripeError(
            404,
            f"Unrecognized request URL ({method}: {path}). The sandbox knows PaymentIntents, Charges, Refunds, "
            "Disputes, Events and Tax Calculations; see GET /.",
        )

    def _performed(
        self, operation: Operation, work: Callable[[], Answer], claim: Claim | None, *, breaks: bool
    ) -> Answer:
        """Does the work and remembers its answer in one transaction; a refusal is remembered too."""
        try:
            if operation.name in READS:
                return work()
            with self._store.transaction():
                answer = work()
                if breaks:
                    answer = Answer(500, something_broke().body)
                self._idempotency.remember(claim, answer.status, answer.body)
            return answer
        except StripeError as error:
            answer = Answer(error.status, error.body)
        except Exception:  # whatever it was, a caller must get Stripe's 500 and no half of the work
            log.exception("%s failed", operation.name)
            answer = Answer(500, something_broke().body)
        with self._store.transaction():
            self._idempotency.remember(claim, answer.status, answer.body)
        return answer

    def _shown(self, result: object, wish: params.Params) -> Answer:
        if wish.expand:
            result = self._expanded(result, wish.expand)
        if isinstance(result, Declined):
            error = msgspec.to_builtins(result.intent.last_payment_error)
            return Answer(402, msgspec.json.encode({"error": error | {"payment_intent": result.intent}}))
        return Answer(200, msgspec.json.encode(result))

    def _expanded(self, result: object, paths: list[str]) -> object:
        if isinstance(result, Declined):
            return result
        shown: dict[str, Any] = msgspec.to_builtins(result)
        for path in paths:
            name = path.removeprefix("data.")
            places = shown["data"] if path.startswith("data.") and "data" in shown else [shown]
            for place in places:
                if name not in EXPANDABLE or name not in place:
                    raise StripeError(400, f"This property cannot be expanded ({path}).", param="expand")
                if isinstance(place[name], str):
                    place[name] = self._shelf(EXPANDABLE[name]).find(place[name])
        return shown

    def _shelf(self, name: str) -> Shelf[Any]:
        shelf: Shelf[Any] = getattr(self._shelves, name)
        return shelf

    # --- what can be asked ---------------------------------------------------------------------------------------

    def _all_operations(self) -> dict[str, Operation]:
        shelves, payments = self._shelves, self._payments
        intents, an_intent = "/v1/payment_intents", "/v1/payment_intents/{id}"
        return {
            f"POST {intents}": Operation("create", params.CreateIntent, self._create),
            f"GET {intents}": Operation("list", params.ListIntents, self._list_intents),
            f"GET {intents}/search": Operation("search", params.SearchIntents, self._search),
            f"GET {an_intent}": Operation("retrieve", params.Retrieve, lambda i, *_: self._intent(i)),
            f"POST {an_intent}": Operation(
                "update", params.UpdateIntent, lambda i, wish, _: payments.update(self._intent(i), wish)
            ),
            f"POST {an_intent}/confirm": Operation("confirm", params.ConfirmIntent, self._confirm),
            f"POST {an_intent}/capture": Operation(
                "capture", params.CaptureIntent, lambda i, *how: payments.capture(self._intent(i), *how)
            ),
            f"POST {an_intent}/cancel": Operation(
                "cancel", params.CancelIntent, lambda i, *how: payments.cancel(self._intent(i), *how)
            ),
            "GET /v1/charges": Operation("list", params.ListCharges, self._list_charges),
            "GET /v1/charges/{id}": Operation(
                "retrieve", params.Retrieve, lambda i, *_: _found(shelves.charges, "charge", i)
            ),
            "POST /v1/refunds": Operation("refund", params.CreateRefund, lambda _, *how: payments.refund(*how)),
            "GET /v1/refunds": Operation("list", params.ListRefunds, self._list_refunds),
            "GET /v1/refunds/{id}": Operation(
                "retrieve", params.Retrieve, lambda i, *_: _found(shelves.refunds, "refund", i)
            ),
            "POST /v1/refunds/{id}": Operation(
                "update",
                params.UpdateRefund,
                lambda i, *how: payments.update_refund(_found(shelves.refunds, "refund", i), *how),
            ),
            "GET /v1/disputes": Operation("list", params.ListDisputes, self._list_disputes),
            "GET /v1/disputes/{id}": Operation(
                "retrieve", params.Retrieve, lambda i, *_: _found(shelves.disputes, "dispute", i)
            ),
            "POST /v1/disputes/{id}": Operation(
                "update",
                params.UpdateDispute,
                lambda i, *how: payments.contest(_found(shelves.disputes, "dispute", i), *how),
            ),
            "POST /v1/disputes/{id}/close": Operation(
                "update",
                params.CloseDispute,
                lambda i, _, cause: payments.give_in(_found(shelves.disputes, "dispute", i), cause),
            ),
            "POST /v1/tax/calculations": Operation("tax", params.CalculateTaxes, self._calculate_taxes),
            "GET /v1/tax/calculations/{id}/line_items": Operation(
                "list", params.ListLineItems, lambda i, wish, _: self._taxes.line_items(i, wish)
            ),
            "GET /v1/events": Operation("list", params.ListEvents, self._list_events),
            "GET /v1/events/{id}": Operation(
                "retrieve", params.Retrieve, lambda i, *_: _found(shelves.events, "event", i)
            ),
        }

    def _intent(self, intent_id: str) -> PaymentIntent:
        return _found(self._shelves.intents, "payment_intent", intent_id)

    def _create(self, _: str, wish: params.CreateIntent, cause: Cause) -> object:
        return _accepted(self._payments.create(wish, cause))

    def _confirm(self, intent_id: str, wish: params.ConfirmIntent, cause: Cause) -> object:
        return _accepted(self._payments.confirm(self._intent(intent_id), wish, cause))

    def _calculate_taxes(self, _: str, wish: params.CalculateTaxes, __: Cause) -> object:
        shown = self._taxes.shown(self._taxes.calculate(wish), with_lines="line_items" in wish.expand)
        wish.expand = [path for path in wish.expand if path != "line_items"]
        return shown

    def _search(self, _: str, wish: params.SearchIntents, __: Cause) -> object:
        condition = search.parse(wish.query)
        if wish.page:
            condition.add("seq < (SELECT seq FROM payment_intents WHERE id = ?)", wish.page)
        found = self._shelves.intents.where(condition.sql, condition.values, wish.limit + 1)
        page, has_more = found[: wish.limit], len(found) > wish.limit
        return {
            "object": "search_result",
            "url": "/v1/payment_intents/search",
            "has_more": has_more,
            "next_page": page[-1].id if has_more else None,
            "data": page,
        }

    def _list_intents(self, _: str, wish: params.ListIntents, __: Cause) -> object:
        return _listed("payment_intents", self._shelves.intents.page(wish, customer=wish.customer))

    def _list_charges(self, _: str, wish: params.ListCharges, __: Cause) -> object:
        return _listed("charges", self._shelves.charges.page(wish, payment_intent=wish.payment_intent))

    def _list_refunds(self, _: str, wish: params.ListRefunds, __: Cause) -> object:
        page = self._shelves.refunds.page(wish, payment_intent=wish.payment_intent, charge=wish.charge)
        return _listed("refunds", page)

    def _list_disputes(self, _: str, wish: params.ListDisputes, __: Cause) -> object:
        page = self._shelves.disputes.page(wish, payment_intent=wish.payment_intent, charge=wish.charge)
        return _listed("disputes", page)

    def _list_events(self, _: str, wish: params.ListEvents, __: Cause) -> object:
        return _listed("events", self._shelves.events.page(wish, type=wish.type))


@dataclass(frozen=True, slots=True)
class Declined:
    """The card was tried and refused: an answer, not an accident."""

    intent: PaymentIntent


def _accepted(intent: PaymentIntent) -> PaymentIntent | Declined:
    return Declined(intent) if intent.last_payment_error else intent


def _found(shelf: Shelf[T], what: str, object_id: str) -> T:
    found = shelf.find(object_id)
    if found is None:
        raise no_such(what, object_id, param="intent" if what == "payment_intent" else "id", status=404)
    return found


def _listed(noun: str, page: tuple[list[Any], bool]) -> dict[str, object]:
    return {"object": "list", "url": f"/v1/{noun}", "has_more": page[1], "data": page[0]}


def _claim(call: Call, pairs: forms.Pairs) -> Claim | None:
    """Only changes are claimed: Stripe ignores the key of a GET."""
    key = call.headers.get("Idempotency-Key") if call.method == "POST" else None
    return Claim(key, call.path, pairs) if key else None


def _say_no() -> NoReturn:
    raise StripeError(400, "This is refused, as the fault plan wants it.", code="refused_on_request")
