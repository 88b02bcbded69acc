"""What may be asked of the card provider, field by field; a word that is not listed here is refused."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from sandbox.objects import AutomaticPaymentMethods, CancellationReason, CaptureMethod, RefundReason

Amount = Annotated[int, Meta(ge=1, le=99_999_999)]
Currency = Annotated[str, Meta(pattern="^[A-Za-z]{3}$")]
Metadata = dict[str, str] | Literal[""]
"""An empty value unsets its key; an empty string unsets them all."""


class Params(Struct, kw_only=True, forbid_unknown_fields=True):
    expand: list[str] = []


class CreateIntent(Params, kw_only=True):
    amount: Amount
    currency: Currency
    automatic_payment_methods: AutomaticPaymentMethods | None = None
    capture_method: CaptureMethod = "automatic_async"
    confirm: bool = False
    confirmation_method: Literal["automatic", "manual"] = "automatic"
    customer: str | None = None
    description: str | None = None
    metadata: Metadata = {}
    off_session: bool = False
    payment_method: str | None = None
    payment_method_options: dict[str, Any] = {}
    payment_method_types: list[str] = []
    receipt_email: str | None = None
    return_url: str | None = None
    setup_future_usage: str | None = None
    shipping: dict[str, Any] | None = None
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None
    transfer_group: str | None = None


class UpdateIntent(Params, kw_only=True):
    description: str | None = None
    metadata: Metadata = {}
    payment_method: str | None = None
    receipt_email: str | None = None


class ConfirmIntent(Params, kw_only=True):
    off_session: bool = False
    payment_method: str | None = None
    receipt_email: str | None = None
    return_url: str | None = None


class CaptureIntent(Params, kw_only=True):
    amount_to_capture: Annotated[int, Meta(ge=0, le=99_999_999)] | None = None
    final_capture: bool = True
    metadata: Metadata = {}
    statement_descriptor: str | None = None
    statement_descriptor_suffix: str | None = None


class CancelIntent(Params, kw_only=True):
    cancellation_reason: CancellationReason | None = None


class CreateRefund(Params, kw_only=True):
    amount: Amount | None = None
    charge: str | None = None
    metadata: Metadata = {}
    payment_intent: str | None = None
    reason: RefundReason | None = None


class UpdateRefund(Params, kw_only=True):
    metadata: Metadata = {}


class Evidence(Struct, forbid_unknown_fields=True, frozen=True):
    uncategorized_text: str | None = None


class UpdateDispute(Params, kw_only=True):
    evidence: Evidence = Evidence()
    metadata: Metadata = {}
    submit: bool = True


class CloseDispute(Params, kw_only=True):
    pass


class Retrieve(Params, kw_only=True):
    client_secret: str | None = None


class Created(Struct, forbid_unknown_fields=True):
    gt: int | None = None
    gte: int | None = None
    lt: int | None = None
    lte: int | None = None


class ListParams(Params, kw_only=True):
    created: Created | int | None = None
    ending_before: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    starting_after: str | None = None


class ListIntents(ListParams, kw_only=True):
    customer: str | None = None


class ListCharges(ListParams, kw_only=True):
    payment_intent: str | None = None


class ListRefunds(ListParams, kw_only=True):
    charge: str | None = None
    payment_intent: str | None = None


class ListDisputes(ListParams, kw_only=True):
    charge: str | None = None
    payment_intent: str | None = None


class ListEvents(ListParams, kw_only=True):
    type: str | None = None


class SearchIntents(Params, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    page: str | None = None
    query: str


class TaxAddress(Struct, forbid_unknown_fields=True):
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")]
    state: str | None = None
    postal_code: str | None = None
    city: str | None = None
    line1: str | None = None
    line2: str | None = None


class TaxedCustomer(Struct, forbid_unknown_fields=True):
    address: TaxAddress
    address_source: Literal["billing", "shipping"]


TaxBehavior = Literal["exclusive", "inclusive"]


class TaxLine(Struct, forbid_unknown_fields=True):
    amount: Annotated[int, Meta(ge=0)]
    tax_code: str
    reference: str | None = None
    tax_behavior: TaxBehavior = "exclusive"
    quantity: int = 1


class TaxedShipping(Struct, forbid_unknown_fields=True):
    amount: Annotated[int, Meta(ge=0)]
    tax_code: str
    tax_behavior: TaxBehavior = "exclusive"


class CalculateTaxes(Params, kw_only=True):
    currency: Currency
    customer_details: TaxedCustomer
    line_items: Annotated[list[TaxLine], Meta(min_length=1)]
    shipping_cost: TaxedShipping | None = None


class ListLineItems(ListParams, kw_only=True):
    pass
