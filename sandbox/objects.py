"""Stripe's objects as they go over the wire, reduced to the fields that matter to a shop."""

import secrets
from typing import Any, Literal

from msgspec import Struct

API_VERSION = "2026-10-28.endive"

IntentStatus = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
]
CaptureMethod = Literal["automatic", "automatic_async", "manual"]
CancellationReason = Literal["duplicate", "fraudulent", "requested_by_customer", "abandoned"]
DisputeStatus = Literal["needs_response", "under_review", "won", "lost"]
RefundReason = Literal["duplicate", "fraudulent", "requested_by_customer"]


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


class CardError(Struct, kw_only=True):
    """Why an attempt to pay failed."""

    type: str = "card_error"
    code: str
    decline_code: str | None = None
    message: str
    charge: str | None = None
    payment_method: dict[str, Any] | None = None


class AutomaticPaymentMethods(Struct, forbid_unknown_fields=True):
    enabled: bool
    allow_redirects: Literal["always", "never"] = "always"


class RedirectToUrl(Struct):
    url: str
    return_url: str | None = None


class NextAction(Struct):
    redirect_to_url: RedirectToUrl
    type: str = "redirect_to_url"


class PaymentIntent(Struct, kw_only=True):
    id: str
    object: str = "payment_intent"
    amount: int
    amount_capturable: int = 0
    amount_received: int = 0
    automatic_payment_methods: AutomaticPaymentMethods | None = None
    canceled_at: int | None = None
    cancellation_reason: CancellationReason | None = None
    capture_method: CaptureMethod
    client_secret: str
    confirmation_method: Literal["automatic", "manual"] = "automatic"
    created: int
    currency: str
    customer: str | None = None
    description: str | None = None
    last_payment_error: CardError | None = None
    latest_charge: str | None = None
    livemode: bool = False
    metadata: dict[str, str] = {}
    next_action: NextAction | None = None
    payment_method: str | None = None
    payment_method_options: dict[str, Any] = {}
    payment_method_types: list[str] = []
    processing: None = None
    receipt_email: str | None = None
    setup_future_usage: str | None = None
    shipping: dict[str, Any] | None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    status: IntentStatus
    transfer_group: str | None = None

    @property
    def multicapture(self) -> bool:
        card = self.payment_method_options.get("card", {})
        return bool(card.get("request_multicapture") == "if_available")


class Charge(Struct, kw_only=True):
    id: str
    object: str = "charge"
    amount: int
    amount_captured: int = 0
    amount_refunded: int = 0
    balance_transaction: None = None
    captured: bool = False
    created: int
    currency: str
    customer: str | None = None
    description: str | None = None
    disputed: bool = False
    failure_code: str | None = None
    failure_message: str | None = None
    livemode: bool = False
    metadata: dict[str, str] = {}
    outcome: dict[str, Any]
    paid: bool
    payment_intent: str
    payment_method: str
    payment_method_details: dict[str, Any]
    refunded: bool = False
    status: Literal["succeeded", "failed"]


class Refund(Struct, kw_only=True):
    id: str
    object: str = "refund"
    amount: int
    balance_transaction: None = None
    charge: str
    created: int
    currency: str
    metadata: dict[str, str] = {}
    payment_intent: str
    reason: RefundReason | None = None
    status: Literal["succeeded"] = "succeeded"


class EvidenceDetails(Struct, kw_only=True):
    due_by: int
    has_evidence: bool = False
    past_due: bool = False
    submission_count: int = 0


class Dispute(Struct, kw_only=True):
    id: str
    object: str = "dispute"
    amount: int
    charge: str
    created: int
    currency: str
    evidence: dict[str, str] = {}
    evidence_details: EvidenceDetails
    is_charge_refundable: bool = False
    livemode: bool = False
    metadata: dict[str, str] = {}
    payment_intent: str
    reason: str
    status: DisputeStatus


class TaxCalculation(Struct, kw_only=True):
    id: str
    object: str = "tax.calculation"
    amount_total: int
    created: int
    currency: str
    customer: None = None
    customer_details: dict[str, Any]
    expires_at: int
    lines: list[dict[str, Any]]
    livemode: bool = False
    ship_from_details: None = None
    shipping_cost: dict[str, Any] | None
    tax_amount_exclusive: int
    tax_amount_inclusive: int
    tax_breakdown: list[dict[str, Any]]
    tax_date: int


class EventData(Struct):
    object: dict[str, Any]


class EventRequest(Struct):
    id: str
    idempotency_key: str | None


class Event(Struct, kw_only=True):
    id: str
    object: str = "event"
    api_version: str = API_VERSION
    created: int
    data: EventData
    livemode: bool = False
    pending_webhooks: int = 1
    request: EventRequest
    type: str
