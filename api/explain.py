"""An order explained: what it waits for, since when, what was tried, and what can be decided."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from api.orders import ConcernOut, OrderOut
from api.schemas import Output
from api.stories import Inside
from domain.attention import Concern, Decision
from domain.deadlines import Wait
from domain.disputes import DisputeStatus
from domain.orders import OrderStatus, PendingStep
from domain.payments import PaymentStatus

IN_WORDS = {
    "orders.place": "prices the cart, reserves its goods and writes the order",
    "orders.await_customer": "notes that the customer must act",
    "orders.await_provider": "notes that nobody knows about the payment, and keeps the goods",
    "orders.await_transfer": "asks the customer for a bank transfer",
    "orders.remind_of_transfer": "reminds the customer of the bank transfer",
    "orders.receive_transfer": "notes that the bank transfer has come",
    "orders.confirm": "confirms the order",
    "orders.cancel": "gives the goods back and cancels the order",
    "orders.attend": "notes that a person is needed",
    "payments.authorize": "asks the provider to reserve the money",
    "payments.look_up": "asks the provider how the payment stands",
    "payments.find": "asks the provider what became of the payment",
    "orders.cancel_units": "gives up units that are not wanted any more",
    "payments.inspect": "asks the provider what a payment without an order is",
    "payments.renew": "asks the provider to reserve the money once more",
    "payments.release": "frees the money that is not wanted any more",
    "payments.capture": "takes the money for a parcel",
    "payments.give_back": "gives the money back",
    "shipping.plan": "packs a parcel",
    "shipping.charge": "fixes what a parcel costs",
    "shipping.ship": "sends a parcel off",
    "shipping.deliver": "notes a delivery",
    "shipping.give_up": "sees to a parcel that will not arrive",
    "shipping.cancel": "unpacks a parcel",
    "shipping.hold": "sees to it that nothing leaves",
    "shipping.release": "lets go on what was held",
}
"""The steps that an order's stories can be seen in."""


class StepOut(Output):
    step: str
    what: str
    attempt: int
    last_error: str | None = Field(description="The kind of the last failure, and what it said")
    next_try_at: datetime | None
    deadline: datetime | None = Field(description="When patience ends; `null`: it is tried until it is done")


class HoldOut(Output):
    reason: str
    since: datetime
    by: str


class ExplanationOut(Output):
    number: str
    status: OrderStatus
    payment_status: PaymentStatus | None
    waits_for: str
    since: datetime
    deadline: datetime | None = Field(
        description="Until when that may take: then a person is called, or the checkout is undone; `null`: for ever"
    )
    story: str | None = Field(description="The workflow that owns the order now; `null` when none runs")
    engine: str = Field(description="`ok`, or `unavailable`: then only what the shop itself knows is told")
    steps: list[StepOut] = Field(description="What is being tried right now")
    concerns: list[ConcernOut]
    hold: HoldOut | None = Field(description="Why nothing of it may leave")
    decisions: list[Decision] = Field(description="What `resolve` takes now")


def explained(order: OrderOut, inside: Inside, waits: Sequence[Wait], hold: HoldOut | None = None) -> ExplanationOut:
    steps = [
        StepOut(
            step=step.name,
            what=IN_WORDS.get(step.name, step.name),
            attempt=step.attempt,
            last_error=step.last_error,
            next_try_at=step.next_try_at,
            deadline=step.deadline,
        )
        for step in inside.steps
    ]
    return ExplanationOut(
        number=order.number,
        status=order.status,
        payment_status=order.payment.status if order.payment else None,
        waits_for=_waits_for(order, inside),
        since=waits[0].since if waits else order.updated_at,
        deadline=waits[0].deadline if waits else next((step.deadline for step in steps), None),
        story=inside.story,
        engine="ok" if inside.is_reachable else "unavailable",
        steps=steps,
        concerns=order.concerns,
        hold=hold,
        decisions=decisions(order),
    )


def _waits_for(order: OrderOut, inside: Inside) -> str:
    if order.concerns:
        return f"a person: {'; '.join(concern.detail for concern in order.concerns)}"
    if inside.steps:
        return f"the step that {IN_WORDS.get(inside.steps[0].name, inside.steps[0].name)}"
    packed = sum(
        item.quantity for parcel in order.fulfillments if parcel.status != "cancelled" for item in parcel.items
    )
    ordered = sum(item.quantity - item.cancelled_quantity for item in order.items)
    match order.status:
        case OrderStatus.PENDING if order.payment and order.payment.next_action:
            return "its customer, who has to approve the payment with the bank"
        case OrderStatus.PENDING if order.pending_step is PendingStep.PAYMENT_UNKNOWN:
            return "the payment provider, which has not said what became of the payment"
        case OrderStatus.PENDING if order.pending_step is PendingStep.TRANSFER_AWAITED:
            due_at = order.payment.due_at if order.payment else None
            return f"its customer's bank transfer, until {due_at:%d %B, %H:%M} UTC"
        case OrderStatus.PENDING:
            return "its checkout"
        case OrderStatus.CONFIRMED if order.is_held:
            return "an operator, who has to release it"
        case OrderStatus.CONFIRMED if packed < ordered:
            return f"an operator, who has to pack {ordered - packed} of {ordered} units"
        case OrderStatus.CONFIRMED:
            return "an operator, who has to ship what is packed"
        case OrderStatus.SHIPPED if any(parcel.status == "pending" for parcel in order.fulfillments):
            return "an operator, who has to send a parcel again"
        case OrderStatus.SHIPPED:
            return "its delivery"
        case OrderStatus.DELIVERED if order.payment and order.payment.status is PaymentStatus.PENDING:
            return "its customer's bank transfer"
    return "nothing any more"


def decisions(order: OrderOut) -> list[Decision]:
    if order.pending_step is PendingStep.TRANSFER_AWAITED:
        return [Decision.SKIP, Decision.CANCEL]
    concerns = {concern.concern for concern in order.concerns}
    if Concern.PAYMENT_MISMATCH in concerns and order.status is OrderStatus.CANCELLED:
        return [Decision.SKIP]
    if Concern.PAYMENT_UNKNOWN in concerns:
        return [Decision.RETRY, Decision.CANCEL]
    known = [Decision.SKIP] if can_accept_dispute(order) or Concern.REFUND_FAILED in concerns else []
    if Concern.CAPTURE_REFUSED not in concerns:
        return known
    has_shipped = any(parcel.shipped_at for parcel in order.fulfillments)
    return [Decision.RETRY, *known] if has_shipped else [Decision.RETRY, *known, Decision.CANCEL]


def can_accept_dispute(order: OrderOut) -> bool:
    """Does a person have to say that they know of a lost dispute?"""
    has_lost = any(dispute.status is DisputeStatus.LOST for dispute in order.disputes)
    return has_lost and any(concern.concern is Concern.PAYMENT_DISPUTED for concern in order.concerns)
