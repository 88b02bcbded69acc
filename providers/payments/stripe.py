"""Cards through Stripe, by its official package."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import stripe
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from stripe import Charge, PaymentIntent, Refund
from stripe.params import PaymentIntentCreateParams

from domain.disputes import DisputeNews, DisputeStatus
from domain.money import Money
from domain.payments import (
    Answer,
    AuthorizePayment,
    BookedPayment,
    CapturePayment,
    GiveMoneyBack,
    LookUpPayment,
    MoneyBack,
    PaymentAuthorization,
    PaymentCapture,
    PaymentGivenBack,
    ProviderEvent,
    ProviderPayment,
    ReleasePayment,
)
from domain.refunds import PaymentRefund, RefundMoney
from providers.payments.base import Guard, OutcomeUnknown, WebhookForged

tracer = trace.get_tracer("sutler.payments")

OBJECT_ID = re.compile(r"/[a-z]+_[A-Za-z0-9]*\d[A-Za-z0-9]*")
"""What Stripe names a payment or a refund in addresses; its kinds have no digits."""

WEBHOOK_TOLERANCE_SECONDS = 300
LAST_CAPTURE = "last_capture"
"""Metadata of an intent: the key of the capture that took money last. One parcel is captured at a time."""

BRING_MONEY = {"payment_intent.amount_capturable_updated", "payment_intent.succeeded"}


DISPUTES = {
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}
"""What Stripe calls a dispute that moves money. A bank that only inquires (``warning_…``) has taken none."""


NO_EVENT = (ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError, RecursionError)
"""What reading something else as an event can raise; times that no clock shows are among it."""


class StripePayments:
    """PaymentIntents with manual capture: one per order, found again by our payment id in its metadata."""

    name = "stripe"

    def __init__(self, client: stripe.StripeClient, *, webhook_secret: str, return_url: str) -> None:
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds
        self._webhook_secret = webhook_secret
        self._return_url = return_url

    async def authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        wish: PaymentIntentCreateParams = {
            "amount": request.total.minor,
            "currency": request.total.currency.lower(),
            "capture_method": "manual",
            "confirm": True,
            "payment_method": request.method,
            "payment_method_options": {"card": {"request_multicapture": "if_available"}},
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "always"},
            "return_url": f"{self._return_url}/v1/orders/{request.order_id}",
            "metadata": {
                "payment_id": str(request.payment_id),
                "order_id": str(request.order_id),
                "order_number": request.order_number,
                "shop": self._return_url,
            },
        }
        if request.is_payer_away:
            wish["off_session"] = True
        try:
            with unanswered_is_unknown():
                intent = await self._intents.create_async(wish, {"idempotency_key": request.key})
        except stripe.CardError as declined:
            return PaymentAuthorization(
                answer=Answer.DECLINED,
                reference=_intent_id(declined),
                decline_code=declined.error.decline_code or declined.code if declined.error else declined.code,
            )
        except stripe.InvalidRequestError as refused:
            return PaymentAuthorization(answer=Answer.DECLINED, reference=None, decline_code=_why(refused))
        return _authorization(intent)

    async def look_up(self, request: LookUpPayment) -> PaymentAuthorization | None:
        intent = await self._find(request.payment_id)
        return _authorization(intent) if intent else None

    async def inspect(self, reference: str) -> ProviderPayment | None:
        """Several shops may share an account at Stripe; what another one asked for is none of our business."""
        try:
            with unanswered_is_unknown():
                intent = await self._intents.retrieve_async(reference, {"expand": ["latest_charge"]})
        except stripe.InvalidRequestError:
            return None
        facts = intent.to_dict()
        metadata = facts.get("metadata") or {}
        charge = facts.get("latest_charge") or {}
        return ProviderPayment(
            payment_id=_id_in(metadata, "payment_id"),
            order_id=_id_in(metadata, "order_id") if metadata.get("shop") == self._return_url else None,
            amount=Money(
                intent.amount_capturable + intent.amount_received - int(charge.get("amount_refunded") or 0),
                intent.currency.upper(),
            ),
        )

    async def capture(self, request: CapturePayment, reference: str) -> PaymentCapture:
        """Stripe repeats an error of its own for a key for ever, also when it did the work: then the intent tells."""
        try:
            with unanswered_is_unknown():
                try:
                    await self._intents.capture_async(
                        reference,
                        {
                            "amount_to_capture": request.amount.minor,
                            "final_capture": request.is_final,
                            "metadata": {LAST_CAPTURE: request.key},
                        },
                        {"idempotency_key": request.key},
                    )
                except stripe.APIError:
                    intent = await self._intents.retrieve_async(reference)
                    if intent.to_dict().get("metadata", {}).get(LAST_CAPTURE) != request.key:
                        raise
        except (stripe.CardError, stripe.InvalidRequestError) as refused:
            return PaymentCapture(is_captured=False, refusal=_why(refused), has_lapsed=_has_lapsed(refused))
        return PaymentCapture(is_captured=True)

    async def release(self, request: ReleasePayment, reference: str) -> None:
        with unanswered_is_unknown():
            intent = await self._intents.retrieve_async(reference)
            if intent.status != "requires_capture":
                return
            if intent.amount_received:
                await self._close(intent, request.key)
            else:
                await self._intents.cancel_async(intent.id, {}, {"idempotency_key": request.key})

    async def _close(self, intent: PaymentIntent, key: str) -> PaymentIntent:
        """End a payment of which some was captured; this frees the rest."""
        return await self._intents.capture_async(
            intent.id, {"amount_to_capture": 0, "final_capture": True}, {"idempotency_key": key}
        )

    async def give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        with unanswered_is_unknown():
            intent = await self._known_intent(request)
            if intent.status == "requires_capture" and intent.amount_received:
                # Only a payment of which nothing more is captured can be refunded.
                intent = await self._close(intent, f"{request.authorize_key}/close")
            if intent.status == "succeeded":
                await self._refund_the_rest(intent, f"{request.authorize_key}/refund")
                return PaymentGivenBack(how=MoneyBack.REFUNDED)
            was_held = intent.status == "requires_capture"
            if intent.status != "canceled":
                intent = await self._intents.cancel_async(
                    intent.id, {}, {"idempotency_key": f"{request.authorize_key}/void"}
                )
            return PaymentGivenBack(how=MoneyBack.VOIDED if was_held else MoneyBack.NOTHING_TAKEN)

    async def _refund_the_rest(self, intent: PaymentIntent, key: str) -> None:
        """As with a capture, what an error hides is looked up."""
        try:
            await self._refunds.create_async({"payment_intent": intent.id}, {"idempotency_key": key})
        except stripe.APIError:
            made = await self._refunds.list_async({"payment_intent": intent.id, "limit": 100})
            if sum(refund.amount for refund in made.data if _refund(refund).is_refunded) < intent.amount_received:
                raise
        except stripe.InvalidRequestError as refused:
            if refused.code != "charge_already_refunded":  # Stripe forgets our keys after a day, but not the refund
                raise

    async def refund(self, request: RefundMoney, reference: str) -> PaymentRefund:
        try:
            with unanswered_is_unknown():
                refund = await self._refunds.create_async(
                    {
                        "payment_intent": reference,
                        "amount": request.amount.minor,
                        "metadata": {"refund_id": str(request.refund_id), "order_id": str(request.order_id)},
                    },
                    {"idempotency_key": request.key},
                )
        except stripe.InvalidRequestError as refused:
            return PaymentRefund(is_refunded=False, refusal=_why(refused))
        return _refund(refund)

    async def find_refund(self, request: RefundMoney, reference: str) -> PaymentRefund | None:
        with unanswered_is_unknown():
            made = await self._refunds.list_async({"payment_intent": reference, "limit": 100})
            async for refund in made.auto_paging_iter():
                if refund.to_dict().get("metadata", {}).get("refund_id") == str(request.refund_id):
                    return _refund(refund)
        return None

    async def payments_between(self, since: datetime, until: datetime) -> AsyncIterator[BookedPayment]:
        with unanswered_is_unknown():
            made = await self._intents.list_async(
                {
                    "created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())},
                    "expand": ["data.latest_charge"],
                    "limit": 100,
                }
            )
            async for intent in made.auto_paging_iter():
                yield _in_the_books(intent)

    async def refunded_between(self, since: datetime, until: datetime) -> AsyncIterator[str]:
        with unanswered_is_unknown():
            made = await self._refunds.list_async(
                {"created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())}, "limit": 100}
            )
            async for refund in made.auto_paging_iter():
                if refund.payment_intent:
                    yield str(refund.payment_intent)

    async def find_payment(self, reference: str) -> BookedPayment | None:
        try:
            with unanswered_is_unknown():
                return _in_the_books(await self._intents.retrieve_async(reference, {"expand": ["latest_charge"]}))
        except stripe.InvalidRequestError as unknown:
            if unknown.code != "resource_missing":
                raise
            return None

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), headers.get("stripe-signature", ""), self._webhook_secret, WEBHOOK_TOLERANCE_SECONDS
            )
            event: dict[str, Any] = json.loads(body)
            subject: dict[str, Any] = event["data"]["object"]
            return ProviderEvent(
                event_id=str(event["id"]),
                type=str(event["type"]),
                payment_id=_id_in(subject.get("metadata"), "payment_id"),
                reference=subject.get("payment_intent") or subject.get("id"),
                brings_money=event["type"] in BRING_MONEY,
                is_ours=(subject.get("metadata") or {}).get("shop") == self._return_url,
                dispute=_dispute(event, subject),
            )
        except (stripe.SignatureVerificationError, *NO_EVENT) as error:
            raise WebhookForged("not signed by Stripe, too old, or not an event") from error

    async def _find(self, payment_id: UUID) -> PaymentIntent | None:
        """The newest one that is alive: a payment that lapsed and was authorised anew has several."""
        with unanswered_is_unknown():
            found = await self._intents.search_async({"query": f"metadata['payment_id']:'{payment_id}'", "limit": 100})
        return max(found.data, key=lambda intent: (intent.status != "canceled", intent.created), default=None)

    async def _known_intent(self, request: GiveMoneyBack) -> PaymentIntent:
        """The intent to undo, also when nobody knows whether Stripe ever got our wish to make it.

        Then the wish's idempotency key decides: taken up here without a charge, it can no longer charge anybody, not
        even if the lost request arrives after all. If Stripe says the key was used, the intent exists and will be
        found by its metadata, within a minute as Stripe's search promises; until then this raises and is retried.
        """
        if request.reference:
            return await self._intents.retrieve_async(request.reference)
        if found := await self._find(request.payment_id):
            return found
        try:
            return await self._intents.create_async(
                {
                    "amount": request.total.minor,
                    "currency": request.total.currency.lower(),
                    "capture_method": "manual",
                    "metadata": {"payment_id": str(request.payment_id), "order_id": str(request.order_id)},
                },
                {"idempotency_key": request.authorize_key},
            )
        except stripe.IdempotencyError as used:
            raise OutcomeUnknown("the authorisation reached Stripe but cannot be found yet") from used


@contextmanager
def unanswered_is_unknown() -> Iterator[None]:
    """No answer, a server error or a busy key all mean: it may have happened. The engine asks again.

    So does a key that stands for another wish: whoever undid this one took the key before us.
    """
    try:
        yield
    except stripe.IdempotencyError as error:
        raise OutcomeUnknown("the key stands for another request") from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise OutcomeUnknown(str(error.user_message or type(error).__name__)) from error
    except stripe.APIError as error:
        raise OutcomeUnknown(f"Stripe answered {error.http_status}") from error


def _authorization(intent: PaymentIntent) -> PaymentAuthorization:
    match intent.status:
        case "requires_capture" | "succeeded":
            return PaymentAuthorization(
                answer=Answer.AUTHORIZED,
                reference=intent.id,
                amount_minor=max(intent.amount_capturable, intent.amount_received),
            )
        case "requires_action" | "processing":
            return PaymentAuthorization(
                answer=Answer.REQUIRES_ACTION, reference=intent.id, redirect_url=_redirect_url(intent)
            )
        case status:
            failure = intent.last_payment_error
            code = (failure.decline_code or failure.code) if failure else None
            return PaymentAuthorization(answer=Answer.DECLINED, reference=intent.id, decline_code=code or status)


def _in_the_books(intent: PaymentIntent) -> BookedPayment:
    charge = intent.latest_charge
    return BookedPayment(
        reference=intent.id,
        payment_id=_id_in(intent.to_dict().get("metadata"), "payment_id"),
        currency=intent.currency.upper(),
        held=intent.amount_capturable,
        captured=intent.amount_received,
        refunded=charge.amount_refunded if isinstance(charge, Charge) else 0,
        created_at=datetime.fromtimestamp(intent.created, UTC),
    )


def _refund(refund: Refund) -> PaymentRefund:
    if refund.status in ("failed", "canceled"):
        return PaymentRefund(is_refunded=False, reference=refund.id, refusal=refund.failure_reason or refund.status)
    return PaymentRefund(is_refunded=True, reference=refund.id)


def _dispute(event: dict[str, Any], subject: dict[str, Any]) -> DisputeNews | None:
    status = DISPUTES.get(str(subject.get("status")))
    if not event["type"].startswith("charge.dispute.") or status is None or not subject.get("payment_intent"):
        return None
    due_by = (subject.get("evidence_details") or {}).get("due_by")
    return DisputeNews(
        reference=str(subject["id"]),
        payment_reference=str(subject["payment_intent"]),
        amount=Money(int(subject["amount"]), str(subject["currency"]).upper()),
        reason=str(subject["reason"]),
        status=status,
        evidence_due_at=datetime.fromtimestamp(due_by, UTC) if due_by else None,
        opened_at=datetime.fromtimestamp(subject["created"], UTC),
        told_at=datetime.fromtimestamp(event["created"], UTC),
    )


def _redirect_url(intent: PaymentIntent) -> str | None:
    redirect = intent.next_action.redirect_to_url if intent.next_action else None
    return redirect.url if redirect else None


def _intent_id(error: stripe.StripeError) -> str | None:
    intent = error.error.payment_intent if error.error else None
    return intent.id if intent else None


def _has_lapsed(refused: stripe.CardError | stripe.InvalidRequestError) -> bool:
    """Stripe cancels what nobody has captured in time; of what was captured in part it frees the rest."""
    intent = refused.error.payment_intent if refused.error else None
    return intent is not None and intent.status == "canceled"


def _why(error: stripe.StripeError) -> str:
    return str(error.code or "refused_by_provider")


def _id_in(metadata: Any, name: str) -> UUID | None:
    try:
        return UUID(metadata[name])
    except (KeyError, TypeError, ValueError):
        return None


class GuardedHTTP(stripe.AIOHTTPClient):
    """One guarded request after the other: a page of a list is one, too."""

    def __init__(self, guard: Guard, **options: Any) -> None:
        super().__init__(**options)
        self._guard = guard

    async def request_async(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        with self._guard(), _told(method, url) as span:
            answer = await super().request_async(method, url, *args, **options)
            span.set_attribute("http.response.status_code", answer[1])
            return answer


def _told(method: str, url: str) -> AbstractContextManager[Span]:
    """A span of the trace that asks. It names the kind of what is asked about, not the thing itself."""
    parts = urlsplit(url)
    template = OBJECT_ID.sub("/{id}", parts.path)
    attributes: dict[str, str | int] = {
        "http.request.method": method.upper(),
        "url.template": template,
        "server.address": parts.hostname or "",
        "server.port": parts.port or 443,
    }
    return tracer.start_as_current_span(f"{method.upper()} {template}", kind=SpanKind.CLIENT, attributes=attributes)


@asynccontextmanager
async def stripe_payments(
    *,
    api_base: str,
    api_key: str,
    webhook_secret: str,
    return_url: str,
    timeout_seconds: float,
    guard: Guard = nullcontext,
) -> AsyncIterator[StripePayments]:
    http = GuardedHTTP(guard, timeout=timeout_seconds)
    client = stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base},
        http_client=http,
        max_network_retries=0,  # the engine retries; two layers would multiply the load on a provider in trouble
    )
    try:
        yield StripePayments(client, webhook_secret=webhook_secret, return_url=return_url)
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]
