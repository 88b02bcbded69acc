"""What a card provider does with money: authorize, capture, release, give back."""

from dataclasses import dataclass
from typing import NoReturn

import msgspec

from sandbox import clock
from sandbox.cards import Card, card
from sandbox.errors import StripeError, no_such
from sandbox.ledger import Ledger, Movement
from sandbox.objects import (
    AutomaticPaymentMethods,
    CardError,
    Charge,
    Dispute,
    EventRequest,
    EvidenceDetails,
    NextAction,
    PaymentIntent,
    RedirectToUrl,
    Refund,
    new_id,
)
from sandbox.params import (
    CancelIntent,
    CaptureIntent,
    ConfirmIntent,
    CreateIntent,
    CreateRefund,
    Metadata,
    UpdateDispute,
    UpdateIntent,
    UpdateRefund,
)
from sandbox.shelves import Shelves
from sandbox.store import Store
from sandbox.webhooks import Outbox

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
TIME_FOR_EVIDENCE = 7 * 24 * 3600
WINS, LOSES = "winning_evidence", "losing_evidence"
"""Stripe's own words by which a test decides a dispute."""
CANCELABLE = (*CONFIRMABLE, "requires_capture", "processing")


@dataclass(frozen=True, slots=True)
class Cause:
    """The request that made something happen."""

    request_id: str
    idempotency_key: str | None = None

    @property
    def told(self) -> EventRequest:
        return EventRequest(self.request_id, self.idempotency_key)


class Payments:
    """Each method is one step of a payment inside the caller's transaction; a refusal is raised before any change."""

    def __init__(self, store: Store, shelves: Shelves, ledger: Ledger, outbox: Outbox, public_url: str) -> None:
        self._store = store
        self._shelves = shelves
        self._ledger = ledger
        self._outbox = outbox
        self._public_url = public_url

    def create(self, wish: CreateIntent, cause: Cause) -> PaymentIntent:
        """A new intent; with ``confirm`` its card is tried at once and ``last_payment_error`` tells of a decline."""
        intent = _new_intent(wish)
        if wish.confirm:
            _check_confirmable(intent, wish.payment_method, wish.return_url)
        self._outbox.record("payment_intent.created", intent, cause.told)
        self._index_metadata(intent.id, {}, intent.metadata)
        if wish.confirm:
            self._try_card(intent, cause, off_session=wish.off_session, return_url=wish.return_url)
        self._shelves.intents.put(intent)
        return intent

    def update(self, intent: PaymentIntent, wish: UpdateIntent) -> PaymentIntent:
        if wish.payment_method:
            card(wish.payment_method)
            if intent.status not in CONFIRMABLE:
                _unexpected_state(intent, "updated with a payment_method", CONFIRMABLE)
            intent.payment_method = wish.payment_method
            intent.status = "requires_confirmation"
        intent.description = wish.description or intent.description
        intent.receipt_email = wish.receipt_email or intent.receipt_email
        self._change_metadata(intent, wish.metadata)
        self._shelves.intents.put(intent)
        return intent

    def confirm(self, intent: PaymentIntent, wish: ConfirmIntent, cause: Cause) -> PaymentIntent:
        """Tries the card; ``last_payment_error`` tells of a decline."""
        if intent.status not in CONFIRMABLE:
            _unexpected_state(intent, "confirmed", CONFIRMABLE)
        method = wish.payment_method or intent.payment_method
        _check_confirmable(intent, method, wish.return_url)
        intent.payment_method = method
        self._try_card(intent, cause, off_session=wish.off_session, return_url=wish.return_url)
        self._shelves.intents.put(intent)
        return intent

    def authenticate(self, intent: PaymentIntent, cause: Cause, *, succeeds: bool) -> None:
        """The payer has been to their bank, which either knows them or does not."""
        challenge = self._store.one("SELECT idempotency_key FROM challenges WHERE payment_intent = ?", intent.id)
        if intent.status != "requires_action" or challenge is None:
            _unexpected_state(intent, "authenticated", ("requires_action",))
        self._store.write("DELETE FROM challenges WHERE payment_intent = ?", intent.id)
        method = card(intent.payment_method or "")
        intent.next_action = None
        # The money moves on behalf of the request that asked for it, not of the browser that let it through.
        cause = Cause(cause.request_id, challenge[0])
        if not succeeds:
            self._fail(intent, _not_authenticated(method), cause)
        elif method.decline:
            self._decline(intent, method, cause)
        else:
            self._authorize(intent, method, cause)
        self._shelves.intents.put(intent)

    def capture(self, intent: PaymentIntent, wish: CaptureIntent, cause: Cause) -> PaymentIntent:
        """Takes held money; unless more captures shall follow, the rest is released."""
        if intent.status != "requires_capture":
            _unexpected_state(intent, "captured", ("requires_capture",))
        amount = intent.amount_capturable if wish.amount_to_capture is None else wish.amount_to_capture
        _check_capture(intent, wish, amount)
        charge = self._charge_of(intent)
        self._change_metadata(intent, wish.metadata)
        if amount:
            intent.amount_capturable -= amount
            intent.amount_received += amount
            charge.amount_captured += amount
            self._move("capture", intent, amount, cause)
        is_final = wish.final_capture or not intent.amount_capturable
        if is_final:
            self._release(intent, cause)
            intent.status = "succeeded"
            charge.captured = True
        self._shelves.charges.put(charge)
        self._shelves.intents.put(intent)
        self._outbox.record("charge.captured" if is_final else "charge.updated", charge, cause.told)
        tells = "payment_intent.succeeded" if is_final else "payment_intent.amount_capturable_updated"
        self._outbox.record(tells, intent, cause.told)
        if is_final:
            self._dispute_if_it_is_such_a_card(intent, charge, cause)
        return intent

    def cancel(self, intent: PaymentIntent, wish: CancelIntent, cause: Cause) -> PaymentIntent:
        """Ends an intent; money that is still held is released."""
        if intent.status not in CANCELABLE:
            _unexpected_state(intent, "canceled", CANCELABLE)
        if intent.status == "requires_capture":
            self._release(intent, cause)
        self._store.write("DELETE FROM challenges WHERE payment_intent = ?", intent.id)
        intent.status = "canceled"
        intent.next_action = None
        intent.canceled_at = int(clock.now())
        intent.cancellation_reason = wish.cancellation_reason
        self._shelves.intents.put(intent)
        self._outbox.record("payment_intent.canceled", intent, cause.told)
        return intent

    def refund(self, wish: CreateRefund, cause: Cause) -> Refund:
        """Gives captured money back, never more than is left of it."""
        intent, charge = self._refundable(wish)
        if self._is_charged_back(charge):
            message = f"Charge {charge.id} has been charged back; cannot issue a refund."
            raise StripeError(400, message, code="charge_disputed")
        left = intent.amount_received - charge.amount_refunded
        if left <= 0:
            message = f"Charge {charge.id} has already been refunded."
            raise StripeError(400, message, code="charge_already_refunded")
        amount = wish.amount or left
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise StripeError(400, message, code="amount_too_large", param="amount")
        refund = Refund(
            id=new_id("re"),
            amount=amount,
            charge=charge.id,
            created=int(clock.now()),
            currency=intent.currency,
            metadata=_changed({}, wish.metadata),
            payment_intent=intent.id,
            reason=wish.reason,
        )
        charge.amount_refunded += amount
        charge.refunded = charge.amount_refunded == intent.amount_received
        self._shelves.refunds.put(refund)
        self._shelves.charges.put(charge)
        self._move("refund", intent, amount, cause, metadata=refund.metadata)
        self._outbox.record("refund.created", refund, cause.told)
        self._outbox.record("charge.refunded", charge, cause.told)
        return refund

    def update_refund(self, refund: Refund, wish: UpdateRefund, cause: Cause) -> Refund:
        refund.metadata = _changed(refund.metadata, wish.metadata)
        self._shelves.refunds.put(refund)
        self._outbox.record("refund.updated", refund, cause.told)
        return refund

    def contest(self, dispute: Dispute, wish: UpdateDispute, cause: Cause) -> Dispute:
        """Takes the shop's evidence; Stripe's words for tests decide at once."""
        _check_open(dispute)
        dispute.metadata = _changed(dispute.metadata, wish.metadata)
        words = wish.evidence.uncategorized_text
        if words:
            dispute.evidence["uncategorized_text"] = words
            dispute.evidence_details.has_evidence = True
        if words and wish.submit:
            dispute.evidence_details.submission_count += 1
            dispute.status = "under_review"
        self._outbox.record("charge.dispute.updated", dispute, cause.told)
        if wish.submit and words in (WINS, LOSES):
            return self._decide(dispute, cause, is_won=words == WINS)
        self._shelves.disputes.put(dispute)
        return dispute

    def give_in(self, dispute: Dispute, cause: Cause) -> Dispute:
        """The shop does not contest it."""
        _check_open(dispute)
        return self._decide(dispute, cause, is_won=False)

    def _dispute_if_it_is_such_a_card(self, intent: PaymentIntent, charge: Charge, cause: Cause) -> None:
        reason = card(charge.payment_method).disputed_as
        if reason is None:
            return
        now = int(clock.now())
        dispute = Dispute(
            id=new_id("dp"),
            amount=intent.amount_received,
            charge=charge.id,
            created=now,
            currency=intent.currency,
            evidence_details=EvidenceDetails(due_by=now + TIME_FOR_EVIDENCE),
            payment_intent=intent.id,
            reason=reason,
            status="needs_response",
        )
        charge.disputed = True
        self._shelves.charges.put(charge)
        self._shelves.disputes.put(dispute)
        self._move("dispute", intent, dispute.amount, cause)
        self._outbox.record("charge.dispute.created", dispute, cause.told)

    def _decide(self, dispute: Dispute, cause: Cause, *, is_won: bool) -> Dispute:
        dispute.status = "won" if is_won else "lost"
        self._shelves.disputes.put(dispute)
        intent = self._shelves.intents.find(dispute.payment_intent)
        if is_won and intent is not None:
            self._move("dispute_reversal", intent, dispute.amount, cause)
        self._outbox.record("charge.dispute.closed", dispute, cause.told)
        return dispute

    def _is_charged_back(self, charge: Charge) -> bool:
        return bool(
            charge.disputed
            and [it for it in self._shelves.disputes.where("charge = ?", [charge.id], 100) if it.status != "won"]
        )

    def _try_card(self, intent: PaymentIntent, cause: Cause, *, off_session: bool, return_url: str | None) -> None:
        method = card(intent.payment_method or "")
        intent.last_payment_error = None
        if method.challenges and not off_session:
            self._challenge(intent, cause, return_url)
        elif method.challenges or method.decline:
            self._decline(intent, method, cause)
        else:
            self._authorize(intent, method, cause)

    def _challenge(self, intent: PaymentIntent, cause: Cause, return_url: str | None) -> None:
        intent.status = "requires_action"
        intent.next_action = NextAction(RedirectToUrl(f"{self._public_url}/3ds/{intent.id}", return_url))
        self._store.write(
            "INSERT OR REPLACE INTO challenges (payment_intent, idempotency_key) VALUES (?, ?)",
            intent.id,
            cause.idempotency_key,
        )
        self._outbox.record("payment_intent.requires_action", intent, cause.told)

    def _authorize(self, intent: PaymentIntent, method: Card, cause: Cause) -> None:
        is_manual = intent.capture_method == "manual"
        charge = _new_charge(intent, method)
        intent.latest_charge = charge.id
        self._move("authorize", intent, intent.amount, cause)
        if is_manual:
            intent.status = "requires_capture"
            intent.amount_capturable = intent.amount
        else:
            intent.status = "succeeded"
            intent.amount_received = charge.amount_captured = intent.amount
            charge.captured = True
            self._move("capture", intent, intent.amount, cause)
        self._shelves.charges.put(charge)
        tells = "payment_intent.amount_capturable_updated" if is_manual else "payment_intent.succeeded"
        self._outbox.record(tells, intent, cause.told)
        if not is_manual:
            self._dispute_if_it_is_such_a_card(intent, charge, cause)

    def _decline(self, intent: PaymentIntent, method: Card, cause: Cause) -> None:
        charge = _new_charge(intent, method)
        refusal = method.refusal(charge.id)
        charge.status = "failed"
        charge.paid = False
        charge.failure_code = refusal.code
        charge.failure_message = refusal.message
        charge.outcome = {
            "network_status": "declined_by_network",
            "reason": refusal.decline_code,
            "type": "issuer_declined",
        }
        self._shelves.charges.put(charge)
        intent.latest_charge = charge.id
        self._fail(intent, refusal, cause)

    def _fail(self, intent: PaymentIntent, why: CardError, cause: Cause) -> None:
        intent.status = "requires_payment_method"
        intent.payment_method = None
        intent.last_payment_error = why
        self._outbox.record("payment_intent.payment_failed", intent, cause.told)

    def _release(self, intent: PaymentIntent, cause: Cause) -> None:
        if intent.amount_capturable:
            self._move("void", intent, intent.amount_capturable, cause)
            intent.amount_capturable = 0

    def _move(
        self, kind: Movement, intent: PaymentIntent, amount: int, cause: Cause, metadata: dict[str, str] | None = None
    ) -> None:
        about = intent.metadata if metadata is None else metadata
        self._ledger.append(kind, intent, amount, key=cause.idempotency_key, metadata=about)

    def _charge_of(self, intent: PaymentIntent) -> Charge:
        charge = self._shelves.charges.find(intent.latest_charge or "")
        if charge is None:
            raise AssertionError(f"{intent.id} holds money without a charge")
        return charge

    def _refundable(self, wish: CreateRefund) -> tuple[PaymentIntent, Charge]:
        if bool(wish.payment_intent) == bool(wish.charge):
            message = "One of the following params should be provided for this request: payment_intent or charge."
            raise StripeError(400, message, code="parameter_missing", param="payment_intent")
        if wish.charge:
            charge = self._shelves.charges.find(wish.charge)
            if charge is None:
                raise no_such("charge", wish.charge, param="charge")
            wish = msgspec.structs.replace(wish, payment_intent=charge.payment_intent)
        intent = self._shelves.intents.find(wish.payment_intent or "")
        if intent is None:
            raise no_such("payment_intent", wish.payment_intent or "", param="payment_intent")
        if not intent.amount_received:
            message = f"This PaymentIntent ({intent.id}) does not have a successful charge to refund."
            raise StripeError(400, message, code="payment_intent_unexpected_state", payment_intent=intent)
        return intent, self._charge_of(intent)

    def _change_metadata(self, intent: PaymentIntent, changes: Metadata) -> None:
        if changes == {}:
            return
        before = intent.metadata
        intent.metadata = _changed(before, changes)
        self._index_metadata(intent.id, before, intent.metadata)

    def _index_metadata(self, intent_id: str, before: dict[str, str], after: dict[str, str]) -> None:
        for key, value in before.items() - after.items():
            self._store.write(
                "DELETE FROM payment_intent_metadata WHERE key = ? AND value = ? AND payment_intent = ?",
                key,
                value,
                intent_id,
            )
        for key, value in after.items() - before.items():
            self._store.write(
                "INSERT INTO payment_intent_metadata (key, value, payment_intent) VALUES (?, ?, ?)",
                key,
                value,
                intent_id,
            )


def _new_intent(wish: CreateIntent) -> PaymentIntent:
    if wish.payment_method:
        card(wish.payment_method)
    intent_id = new_id("pi")
    automatic = wish.automatic_payment_methods
    if automatic is None and not wish.payment_method_types:
        automatic = AutomaticPaymentMethods(enabled=True)
    return PaymentIntent(
        id=intent_id,
        amount=wish.amount,
        automatic_payment_methods=automatic,
        capture_method=wish.capture_method,
        client_secret=f"{intent_id}_{new_id('secret')}",
        confirmation_method=wish.confirmation_method,
        created=int(clock.now()),
        currency=wish.currency.lower(),
        customer=wish.customer,
        description=wish.description,
        metadata=_changed({}, wish.metadata),
        payment_method=wish.payment_method,
        payment_method_options=wish.payment_method_options,
        payment_method_types=wish.payment_method_types or ["card"],
        receipt_email=wish.receipt_email,
        setup_future_usage=wish.setup_future_usage,
        shipping=wish.shipping,
        statement_descriptor=wish.statement_descriptor,
        statement_descriptor_suffix=wish.statement_descriptor_suffix,
        status="requires_confirmation" if wish.payment_method else "requires_payment_method",
        transfer_group=wish.transfer_group,
    )


def _new_charge(intent: PaymentIntent, method: Card) -> Charge:
    multicapture = {"status": "available" if intent.multicapture else "unavailable"}
    return Charge(
        id=new_id("ch"),
        amount=intent.amount,
        created=int(clock.now()),
        currency=intent.currency,
        customer=intent.customer,
        description=intent.description,
        metadata=intent.metadata,
        outcome={"network_status": "approved_by_network", "reason": None, "type": "authorized"},
        paid=True,
        payment_intent=intent.id,
        payment_method=method.id,
        payment_method_details={"type": "card", "card": method.details | {"multicapture": multicapture}},
        status="succeeded",
    )


def _check_open(dispute: Dispute) -> None:
    if dispute.status in ("won", "lost"):
        raise StripeError(400, "This dispute is already closed.", code="invalid_request")


def _changed(metadata: dict[str, str], changes: Metadata) -> dict[str, str]:
    if isinstance(changes, str):
        return {}
    return {key: value for key, value in (metadata | changes).items() if value}


def _not_authenticated(method: Card) -> CardError:
    return CardError(
        type="invalid_request_error",
        code="payment_intent_authentication_failure",
        message="The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new "
        "PaymentMethod to attempt to fulfill this PaymentIntent again.",
        payment_method=method.as_payment_method(),
    )


def _check_capture(intent: PaymentIntent, wish: CaptureIntent, amount: int) -> None:
    if amount > intent.amount_capturable:
        message = (
            f"The amount to capture ({amount}) is greater than the amount that can be captured "
            f"({intent.amount_capturable})."
        )
        raise StripeError(400, message, code="amount_too_large", param="amount_to_capture", payment_intent=intent)
    # Zero is how the rest of several captures is released; a first capture of nothing should be a cancellation.
    if amount == 0 and not (wish.final_capture and intent.amount_received):
        message = "Invalid positive integer"
        raise StripeError(400, message, code="parameter_invalid_integer", param="amount_to_capture")
    if not wish.final_capture and not intent.multicapture:
        message = (
            "final_capture=false needs multicapture, which this PaymentIntent did not ask for: create it with "
            "payment_method_options[card][request_multicapture]=if_available."
        )
        raise StripeError(400, message, param="final_capture", payment_intent=intent)


def _check_confirmable(intent: PaymentIntent, method: str | None, return_url: str | None) -> None:
    if not method:
        message = (
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method or ConfirmationToken."
        )
        raise StripeError(400, message, code="payment_intent_unexpected_state", payment_intent=intent)
    card(method)
    automatic = intent.automatic_payment_methods
    if automatic and automatic.enabled and automatic.allow_redirects == "always" and not return_url:
        # Stripe has insisted on this since 2023-08-16; an adapter that forgets it would fail only in production.
        message = (
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`. If "
            "you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to "
            "`true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
            "Payment Intents."
        )
        raise StripeError(400, message, param="return_url")


def _unexpected_state(intent: PaymentIntent, what: str, allowed: tuple[str, ...]) -> NoReturn:
    message = (
        f"This PaymentIntent's status is {intent.status}, so it could not be {what}. Only a PaymentIntent with one of "
        f"the following statuses may be {what}: {', '.join(allowed)}."
    )
    raise StripeError(400, message, code="payment_intent_unexpected_state", payment_intent=intent)
