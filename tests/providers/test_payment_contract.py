"""What the shop expects of every payment provider. A second provider joins by one more entry in ``PARTNERS``."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.money import Money
from domain.payments import (
    MANUAL,
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
    ReleasePayment,
)
from domain.refunds import RefundMoney
from providers.payments import (
    PROVIDERS,
    OutcomeUnknown,
    PaymentProvider,
    WebhookForged,
    beside_transfers,
    open_provider,
)
from runtime.resources import Resources
from runtime.settings import Settings
from sandbox.webhooks import signature
from tests.support.ledger import held, kept, moved_by

TOTAL = Money(4497, "USD")


@dataclass(frozen=True, kw_only=True)
class Partner:
    """A provider, its test cards, and what its sandbox saw of our money."""

    provider: PaymentProvider
    sandbox: httpx.AsyncClient
    webhook_secret: bytes
    good: str = "pm_card_visa"
    declining: str = "pm_card_visa_chargeDeclinedInsufficientFunds"
    challenging: str = "pm_card_threeDSecure2Required"
    unknown: str = "pm_card_nobody_has_ever_seen"

    async def misbehaves_next(self, operation: str, fault: str, **more: Any) -> None:
        plan = {"payments": {"next": [{"operation": operation, "fault": fault, **more}]}}
        assert (await self.sandbox.put("/faults", json=plan)).status_code == 200

    async def movements(self, wish: AuthorizePayment) -> list[tuple[str, int]]:
        """All that happened to the money of this payment, whatever the provider called it."""
        rows = (await self.sandbox.get("/ledger")).json()["items"]
        return [
            (row["kind"], row["amount"]) for row in rows if row["metadata"].get("payment_id") == str(wish.payment_id)
        ]

    async def authorized(self, wish: AuthorizePayment) -> str:
        """The provider's id of this payment, whose money it now holds."""
        answer = await self.provider.authorize(wish)
        assert answer.answer is Answer.AUTHORIZED
        assert answer.reference is not None
        return answer.reference


@pytest.fixture(params=sorted(PROVIDERS))
async def partner(
    request: pytest.FixtureRequest, settings: Settings, sandbox: httpx.AsyncClient
) -> AsyncIterator[Partner]:
    async with opened(request.param, settings, sandbox) as provider:
        yield Partner(
            provider=provider,
            sandbox=sandbox,
            webhook_secret=settings.payments.stripe_webhook_secret.get_secret_value().encode(),
        )


def opened(name: str, settings: Settings, sandbox: httpx.AsyncClient, *, timeout_seconds: float = 10.0) -> Any:
    return open_provider(
        name,
        api_base=str(sandbox.base_url).rstrip("/"),
        api_key=settings.payments.stripe_api_key.get_secret_value(),
        webhook_secret=settings.payments.stripe_webhook_secret.get_secret_value(),
        return_url="http://127.0.0.1:1",
        timeout_seconds=timeout_seconds,
    )


def a_wish(method: str, **otherwise: Any) -> AuthorizePayment:
    order = uuid4()
    facts: dict[str, Any] = {
        "payment_id": uuid4(),
        "order_id": order,
        "order_number": "S-1001",
        "method": method,
        "total": TOTAL,
        "key": f"order/{order}/authorize/1",
    }
    return AuthorizePayment(**{**facts, **otherwise})


def the_way_back(wish: AuthorizePayment, reference: str | None = None) -> GiveMoneyBack:
    return GiveMoneyBack(
        payment_id=wish.payment_id,
        order_id=wish.order_id,
        total=wish.total,
        authorize_key=wish.key,
        reference=reference,
    )


def a_capture(wish: AuthorizePayment, minor: int, *, is_final: bool = True, parcel: int = 1) -> CapturePayment:
    return CapturePayment(
        payment_id=wish.payment_id,
        amount=Money(minor, wish.total.currency),
        is_final=is_final,
        key=f"order/{wish.order_id}/capture/{parcel}",
    )


# --- authorising --------------------------------------------------------------------------------------------------


async def test_a_good_card_has_its_money_held(partner: Partner) -> None:
    wish = a_wish(partner.good)

    answer = await partner.provider.authorize(wish)

    assert (answer.answer, answer.amount_minor) == (Answer.AUTHORIZED, 4497)
    assert answer.reference is not None
    assert (answer.decline_code, answer.redirect_url) == (None, None)
    assert await moved_by(partner.sandbox, answer.reference) == [("authorize", 4497)]


@pytest.mark.parametrize("total", [Money(4660, "JPY"), Money(1499, "EUR")])
async def test_amounts_are_minor_units_of_their_own_currency(partner: Partner, total: Money) -> None:
    wish = a_wish(partner.good, total=total)

    await partner.authorized(wish)

    assert await partner.movements(wish) == [("authorize", total.minor)]


async def test_a_declined_card_is_an_answer_and_holds_nothing(partner: Partner) -> None:
    wish = a_wish(partner.declining)

    answer = await partner.provider.authorize(wish)

    assert (answer.answer, answer.decline_code) == (Answer.DECLINED, "insufficient_funds")
    assert answer.reference is not None
    assert await partner.movements(wish) == []


async def test_a_card_that_does_not_exist_is_declined_without_a_payment(partner: Partner) -> None:
    wish = a_wish(partner.unknown)

    assert await partner.provider.authorize(wish) == PaymentAuthorization(
        answer=Answer.DECLINED, reference=None, decline_code="resource_missing"
    )
    assert await partner.provider.look_up(LookUpPayment(payment_id=wish.payment_id)) is None


async def test_a_bank_that_wants_to_see_its_customer_says_where(partner: Partner) -> None:
    wish = a_wish(partner.challenging)

    answer = await partner.provider.authorize(wish)

    assert answer.answer is Answer.REQUIRES_ACTION
    assert answer.redirect_url is not None
    assert answer.redirect_url.startswith("http")
    assert await partner.movements(wish) == []


async def test_the_same_wish_twice_is_one_payment(partner: Partner) -> None:
    wish = a_wish(partner.good)

    first, second = await partner.provider.authorize(wish), await partner.provider.authorize(wish)

    assert second == first
    assert await partner.movements(wish) == [("authorize", 4497)]


async def test_the_same_wish_from_ten_at_once_is_one_payment(partner: Partner) -> None:
    wish = a_wish(partner.good)

    answers = await asyncio.gather(*(partner.provider.authorize(wish) for _ in range(10)), return_exceptions=True)

    told = {answer for answer in answers if isinstance(answer, PaymentAuthorization)}
    assert len(told) == 1
    assert all(isinstance(answer, PaymentAuthorization | OutcomeUnknown) for answer in answers)
    assert await partner.movements(wish) == [("authorize", 4497)]


async def test_a_key_that_stands_for_another_wish_authorises_nothing(partner: Partner) -> None:
    wish = a_wish(partner.good)
    await partner.authorized(wish)

    with pytest.raises(OutcomeUnknown):
        await partner.provider.authorize(replace(wish, total=Money(9999, "USD")))

    assert await partner.movements(wish) == [("authorize", 4497)]


# --- answers that do not arrive -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_response", "error_after"])
async def test_an_answer_that_is_lost_is_unknown_and_can_be_looked_up(partner: Partner, fault: str) -> None:
    wish = a_wish(partner.good)
    await partner.misbehaves_next("create", fault)

    with pytest.raises(OutcomeUnknown):
        await partner.provider.authorize(wish)
    found = await partner.provider.look_up(LookUpPayment(payment_id=wish.payment_id))

    assert found is not None
    assert (found.answer, found.amount_minor) == (Answer.AUTHORIZED, 4497)
    assert await partner.movements(wish) == [("authorize", 4497)]


async def test_a_provider_that_breaks_before_it_did_anything_can_be_asked_again(partner: Partner) -> None:
    wish = a_wish(partner.good)
    await partner.misbehaves_next("create", "error")

    with pytest.raises(OutcomeUnknown):
        await partner.provider.authorize(wish)
    assert await partner.provider.look_up(LookUpPayment(payment_id=wish.payment_id)) is None
    await partner.authorized(wish)

    assert await partner.movements(wish) == [("authorize", 4497)]


@pytest.mark.parametrize("name", sorted(PROVIDERS))
async def test_a_provider_that_hangs_is_not_waited_for_longer_than_agreed(
    name: str, settings: Settings, sandbox: httpx.AsyncClient
) -> None:
    wish = a_wish("pm_card_visa")
    async with opened(name, settings, sandbox, timeout_seconds=0.3) as provider:
        partner = Partner(provider=provider, sandbox=sandbox, webhook_secret=b"")
        await partner.misbehaves_next("create", "hang")

        with pytest.raises(OutcomeUnknown):
            await provider.authorize(wish)

    assert await partner.movements(wish) == []


@pytest.mark.parametrize("name", sorted(PROVIDERS))
async def test_a_provider_that_cannot_be_reached_is_unknown(name: str) -> None:
    async with open_provider(
        name,
        api_base="http://127.0.0.1:1",
        api_key="sk_test_sutler",
        webhook_secret="whsec_sutler",
        return_url="http://127.0.0.1:1",
        timeout_seconds=1,
    ) as provider:
        wish = a_wish("pm_card_visa")
        with pytest.raises(OutcomeUnknown):
            await provider.authorize(wish)
        with pytest.raises(OutcomeUnknown):
            await provider.look_up(LookUpPayment(payment_id=wish.payment_id))
        with pytest.raises(OutcomeUnknown):
            await provider.capture(a_capture(wish, 100), "pi_1")
        with pytest.raises(OutcomeUnknown):
            await provider.give_back(the_way_back(wish))


async def test_a_payment_that_nobody_has_heard_of_is_not_found(partner: Partner) -> None:
    assert await partner.provider.look_up(LookUpPayment(payment_id=uuid4())) is None


async def test_a_payment_is_looked_up_as_it_stands(partner: Partner) -> None:
    for method, answer in [
        (partner.good, Answer.AUTHORIZED),
        (partner.declining, Answer.DECLINED),
        (partner.challenging, Answer.REQUIRES_ACTION),
    ]:
        wish = a_wish(method)
        told = await partner.provider.authorize(wish)
        assert told.answer is answer
        assert await partner.provider.look_up(LookUpPayment(payment_id=wish.payment_id)) == told


async def test_a_captured_payment_is_still_told_as_authorised_for_all_it_took(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    await partner.provider.capture(a_capture(wish, 4497), reference)

    found = await partner.provider.look_up(LookUpPayment(payment_id=wish.payment_id))

    assert found is not None
    assert (found.answer, found.amount_minor) == (Answer.AUTHORIZED, 4497)


# --- capturing ----------------------------------------------------------------------------------------------------


async def test_money_is_captured_parcel_by_parcel(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)

    first = await partner.provider.capture(a_capture(wish, 1499, is_final=False), reference)
    last = await partner.provider.capture(a_capture(wish, 2998, parcel=2), reference)

    assert first == last == PaymentCapture(is_captured=True)
    movements = await partner.movements(wish)
    assert movements == [("authorize", 4497), ("capture", 1499), ("capture", 2998)]
    assert (held(movements), kept(movements)) == (0, 4497)


async def test_the_final_capture_frees_the_rest(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)

    await partner.provider.capture(a_capture(wish, 3000), reference)

    assert await partner.movements(wish) == [("authorize", 4497), ("capture", 3000), ("void", 1497)]


async def test_the_same_capture_twice_takes_the_money_once(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)

    answers = [await partner.provider.capture(a_capture(wish, 4497), reference) for _ in range(2)]

    assert answers == [PaymentCapture(is_captured=True)] * 2
    assert await partner.movements(wish) == [("authorize", 4497), ("capture", 4497)]


async def test_a_capture_whose_answer_is_lost_is_repeated_without_harm(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    await partner.misbehaves_next("capture", "drop_response")

    with pytest.raises(OutcomeUnknown):
        await partner.provider.capture(a_capture(wish, 4497), reference)

    assert await partner.provider.capture(a_capture(wish, 4497), reference) == PaymentCapture(is_captured=True)
    assert await partner.movements(wish) == [("authorize", 4497), ("capture", 4497)]


async def test_a_capture_that_is_answered_with_an_error_for_ever_is_seen_to_have_worked(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    first, second = a_capture(wish, 1000, is_final=False, parcel=1), a_capture(wish, 1000, is_final=False, parcel=2)
    assert (await partner.provider.capture(first, reference)).is_captured
    await partner.misbehaves_next("capture", "error_after")

    answers = [await partner.provider.capture(second, reference) for _ in range(2)]

    assert answers == [PaymentCapture(is_captured=True)] * 2
    assert await partner.movements(wish) == [("authorize", 4497), ("capture", 1000), ("capture", 1000)]


async def test_a_capture_that_is_answered_with_an_error_and_has_not_worked_is_unknown(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    assert (await partner.provider.capture(a_capture(wish, 1000, is_final=False), reference)).is_captured
    await partner.misbehaves_next("capture", "error")

    with pytest.raises(OutcomeUnknown):
        await partner.provider.capture(a_capture(wish, 1000, is_final=False, parcel=2), reference)

    assert await partner.movements(wish) == [("authorize", 4497), ("capture", 1000)]


async def test_more_than_is_held_is_refused_with_a_reason(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)

    answer = await partner.provider.capture(a_capture(wish, 4498), reference)

    assert answer == PaymentCapture(is_captured=False, refusal="amount_too_large")
    assert await partner.movements(wish) == [("authorize", 4497)]


async def test_money_that_was_given_back_is_not_captured(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    await partner.provider.give_back(the_way_back(wish, reference))

    answer = await partner.provider.capture(a_capture(wish, 4497), reference)

    assert answer == PaymentCapture(is_captured=False, refusal="payment_intent_unexpected_state", has_lapsed=True)
    assert await partner.movements(wish) == [("authorize", 4497), ("void", 4497)]


# --- giving back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("knows_reference", [True, False])
async def test_held_money_is_released(partner: Partner, *, knows_reference: bool) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)

    given_back = await partner.provider.give_back(the_way_back(wish, reference if knows_reference else None))

    assert given_back == PaymentGivenBack(how=MoneyBack.VOIDED)
    assert await partner.movements(wish) == [("authorize", 4497), ("void", 4497)]


@pytest.mark.parametrize("captured", [4497, 3000])
async def test_captured_money_is_refunded(partner: Partner, captured: int) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    await partner.provider.capture(a_capture(wish, captured), reference)

    given_back = await partner.provider.give_back(the_way_back(wish, reference))

    assert given_back == PaymentGivenBack(how=MoneyBack.REFUNDED)
    movements = await moved_by(partner.sandbox, reference)
    assert movements[-1] == ("refund", captured)
    assert (held(movements), kept(movements)) == (0, 0)


async def test_a_payment_that_was_captured_in_part_is_released_and_refunded(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    await partner.provider.capture(a_capture(wish, 1499, is_final=False), reference)

    answers = [await partner.provider.give_back(the_way_back(wish, reference)) for _ in range(2)]

    assert answers == [PaymentGivenBack(how=MoneyBack.REFUNDED)] * 2
    assert await moved_by(partner.sandbox, reference) == [
        ("authorize", 4497),
        ("capture", 1499),
        ("void", 2998),
        ("refund", 1499),
    ]


@pytest.mark.parametrize("is_captured", [False, True], ids=["held", "captured"])
async def test_giving_back_twice_gives_back_once(partner: Partner, *, is_captured: bool) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    if is_captured:
        await partner.provider.capture(a_capture(wish, 4497), reference)

    await partner.provider.give_back(the_way_back(wish, reference))
    before = await moved_by(partner.sandbox, reference)
    await partner.provider.give_back(the_way_back(wish, reference))

    assert await moved_by(partner.sandbox, reference) == before
    assert (held(before), kept(before)) == (0, 0)


@pytest.mark.parametrize("operation", ["cancel", "refund"])
async def test_giving_back_that_is_answered_with_an_error_for_ever_is_seen_to_have_worked(
    partner: Partner, operation: str
) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    if operation == "refund":
        await partner.provider.capture(a_capture(wish, 4497), reference)
    await partner.misbehaves_next(operation, "error_after")

    with suppress(OutcomeUnknown):
        await partner.provider.give_back(the_way_back(wish, reference))
    await partner.provider.give_back(the_way_back(wish, reference))

    movements = await moved_by(partner.sandbox, reference)
    assert len(movements) == 2 + (operation == "refund")
    assert (held(movements), kept(movements)) == (0, 0)


@pytest.mark.parametrize("operation", ["cancel", "refund"])
async def test_giving_back_whose_answer_is_lost_is_repeated_without_harm(partner: Partner, operation: str) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    if operation == "refund":
        await partner.provider.capture(a_capture(wish, 4497), reference)
    await partner.misbehaves_next(operation, "drop_response")

    with pytest.raises(OutcomeUnknown):
        await partner.provider.give_back(the_way_back(wish, reference))
    await partner.provider.give_back(the_way_back(wish, reference))

    movements = await moved_by(partner.sandbox, reference)
    assert len(movements) == 2 + (operation == "refund")
    assert (held(movements), kept(movements)) == (0, 0)


@pytest.mark.parametrize("method", ["declining", "challenging"])
async def test_where_nothing_was_taken_nothing_is_given_back(partner: Partner, method: str) -> None:
    wish = a_wish(getattr(partner, method))
    told = await partner.provider.authorize(wish)

    given_back = await partner.provider.give_back(the_way_back(wish, told.reference))

    assert given_back == PaymentGivenBack(how=MoneyBack.NOTHING_TAKEN)
    assert await partner.movements(wish) == []


async def test_a_customer_who_comes_back_from_the_bank_too_late_is_not_charged(partner: Partner) -> None:
    wish = a_wish(partner.challenging)
    told = await partner.provider.authorize(wish)
    await partner.provider.give_back(the_way_back(wish, told.reference))

    late = await partner.sandbox.post(f"{told.redirect_url}/complete")

    assert late.status_code == 409
    assert await partner.movements(wish) == []


async def test_a_wish_that_never_arrived_can_never_charge_anybody_any_more(partner: Partner) -> None:
    wish = a_wish(partner.good)

    given_back = await partner.provider.give_back(the_way_back(wish))
    with pytest.raises(OutcomeUnknown):
        await partner.provider.authorize(wish)  # the lost request arrives after all

    assert given_back == PaymentGivenBack(how=MoneyBack.NOTHING_TAKEN)
    assert await partner.movements(wish) == []
    found = await partner.provider.look_up(LookUpPayment(payment_id=wish.payment_id))
    assert found is not None
    assert found.answer is Answer.DECLINED


async def test_a_wish_whose_answer_was_lost_is_found_and_given_back(partner: Partner) -> None:
    wish = a_wish(partner.good)
    await partner.misbehaves_next("create", "drop_response")
    with pytest.raises(OutcomeUnknown):
        await partner.provider.authorize(wish)

    given_back = await partner.provider.give_back(the_way_back(wish))

    assert given_back == PaymentGivenBack(how=MoneyBack.VOIDED)
    assert await partner.movements(wish) == [("authorize", 4497), ("void", 4497)]


async def test_nothing_that_was_never_asked_for_can_be_given_back_twice_either(partner: Partner) -> None:
    wish = a_wish(partner.good)

    answers = [await partner.provider.give_back(the_way_back(wish)) for _ in range(2)]

    assert answers == [PaymentGivenBack(how=MoneyBack.NOTHING_TAKEN)] * 2
    assert await partner.movements(wish) == []


# --- webhooks -----------------------------------------------------------------------------------------------------


def a_webhook(payment_id: str) -> bytes:
    subject = {"id": "pi_1", "object": "payment_intent", "metadata": {"payment_id": payment_id}}
    return json.dumps({"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": subject}}).encode()


def signed(partner: Partner, body: bytes, *, age: int = 0) -> dict[str, str]:
    return {"stripe-signature": signature(body, partner.webhook_secret, int(time.time()) - age)}


async def test_a_signed_webhook_names_our_payment(partner: Partner) -> None:
    payment_id = uuid4()
    body = a_webhook(str(payment_id))

    event = partner.provider.read_webhook(body, signed(partner, body))

    assert (event.event_id, event.type) == ("evt_1", "payment_intent.succeeded")
    assert (event.payment_id, event.reference) == (payment_id, "pi_1")


async def test_a_webhook_about_something_else_names_no_payment(partner: Partner) -> None:
    body = a_webhook("not one of ours")

    assert partner.provider.read_webhook(body, signed(partner, body)).payment_id is None


async def test_a_webhook_is_believed_only_as_it_was_signed_and_not_for_long(partner: Partner) -> None:
    body = a_webhook(str(uuid4()))
    other = a_webhook(str(uuid4()))

    for forged, headers in [
        (body, {}),
        (body, {"stripe-signature": "t=1,v1=00"}),
        (other, signed(partner, body)),
        (body, signed(partner, body, age=301)),
        (b"not json", signed(partner, b"not json")),
        (b"{}", signed(partner, b"{}")),
    ]:
        with pytest.raises(WebhookForged):
            partner.provider.read_webhook(forged, headers)


def test_an_unknown_provider_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="choose one of stripe"):
        open_provider("paypal", api_base="", api_key="", webhook_secret="", return_url="", timeout_seconds=1)


# --- freeing the rest ------------------------------------------------------------------------------------------------


def the_rest(wish: AuthorizePayment) -> ReleasePayment:
    return ReleasePayment(payment_id=wish.payment_id, order_id=wish.order_id, key=f"order/{wish.order_id}/release")


async def test_what_no_parcel_will_capture_is_freed_and_what_was_taken_stays(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    await partner.provider.capture(a_capture(wish, 1000, is_final=False), reference)

    for _ in range(2):
        await partner.provider.release(the_rest(wish), reference)

    assert await partner.movements(wish) == [("authorize", 4497), ("capture", 1000), ("void", 3497)]


async def test_a_payment_of_which_nothing_was_taken_is_freed_as_a_whole(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)

    for _ in range(2):
        await partner.provider.release(the_rest(wish), reference)

    assert await partner.movements(wish) == [("authorize", 4497), ("void", 4497)]


@pytest.mark.parametrize("fault", ["drop_response", "error_after", "error"])
@pytest.mark.parametrize("captured", [0, 1000])
async def test_freeing_the_rest_may_be_repeated_when_the_answer_is_lost(
    partner: Partner, captured: int, fault: str
) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    if captured:
        await partner.provider.capture(a_capture(wish, captured, is_final=False), reference)
    await partner.misbehaves_next("capture" if captured else "cancel", fault)

    with pytest.raises(OutcomeUnknown):
        await partner.provider.release(the_rest(wish), reference)
    await partner.provider.release(the_rest(wish), reference)

    movements = await partner.movements(wish)
    assert (held(movements), kept(movements)) == (0, captured)


async def test_where_everything_was_taken_there_is_nothing_to_free(partner: Partner) -> None:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    await partner.provider.capture(a_capture(wish, 4497), reference)

    await partner.provider.release(the_rest(wish), reference)

    assert await partner.movements(wish) == [("authorize", 4497), ("capture", 4497)]


# --- refunds ---------------------------------------------------------------------------------------------------------


def a_refund(wish: AuthorizePayment, minor: int) -> RefundMoney:
    return RefundMoney(
        refund_id=uuid4(),
        order_id=wish.order_id,
        order_number=wish.order_number,
        payment_id=wish.payment_id,
        amount=Money(minor, wish.total.currency),
    )


async def a_captured_payment(partner: Partner) -> tuple[AuthorizePayment, str]:
    wish = a_wish(partner.good)
    reference = await partner.authorized(wish)
    await partner.provider.capture(a_capture(wish, 4497), reference)
    return wish, reference


async def refunds_of(partner: Partner, reference: str) -> list[int]:
    return [amount for kind, amount in await moved_by(partner.sandbox, reference) if kind == "refund"]


async def test_a_part_is_refunded_and_then_the_rest(partner: Partner) -> None:
    wish, reference = await a_captured_payment(partner)

    for amount in (1000, 3497):
        answer = await partner.provider.refund(a_refund(wish, amount), reference)
        assert answer.is_refunded
        assert answer.reference is not None

    assert await refunds_of(partner, reference) == [1000, 3497]


async def test_the_same_refund_twice_is_paid_once(partner: Partner) -> None:
    wish, reference = await a_captured_payment(partner)
    refund = a_refund(wish, 1000)

    first, second = [await partner.provider.refund(refund, reference) for _ in range(2)]

    assert second == first
    assert await refunds_of(partner, reference) == [1000]


async def test_two_refunds_of_the_same_amount_are_two(partner: Partner) -> None:
    wish, reference = await a_captured_payment(partner)

    answers = [await partner.provider.refund(a_refund(wish, 1000), reference) for _ in range(2)]

    assert len({answer.reference for answer in answers}) == 2
    assert await refunds_of(partner, reference) == [1000, 1000]


async def test_a_refund_of_more_than_is_left_is_refused_with_a_reason(partner: Partner) -> None:
    wish, reference = await a_captured_payment(partner)

    assert (await partner.provider.refund(a_refund(wish, 4498), reference)).refusal == "amount_too_large"
    await partner.provider.refund(a_refund(wish, 4497), reference)
    answer = await partner.provider.refund(a_refund(wish, 1), reference)

    assert (answer.is_refunded, answer.reference, answer.refusal) == (False, None, "charge_already_refunded")
    assert await refunds_of(partner, reference) == [4497]


@pytest.mark.parametrize("fault", ["drop_response", "error_after"])
async def test_a_refund_whose_answer_is_lost_is_found_by_our_own_id(partner: Partner, fault: str) -> None:
    wish, reference = await a_captured_payment(partner)
    refund = a_refund(wish, 1000)
    await partner.provider.refund(a_refund(wish, 1000), reference)  # another one of the same amount
    await partner.misbehaves_next("refund", fault)

    with pytest.raises(OutcomeUnknown):
        await partner.provider.refund(refund, reference)
    found = await partner.provider.find_refund(refund, reference)

    assert found is not None
    assert found.is_refunded
    assert await refunds_of(partner, reference) == [1000, 1000]


async def test_a_refund_that_never_arrived_is_not_found_and_can_be_asked_for_again(partner: Partner) -> None:
    wish, reference = await a_captured_payment(partner)
    refund = a_refund(wish, 1000)
    await partner.misbehaves_next("refund", "error")

    with pytest.raises(OutcomeUnknown):
        await partner.provider.refund(refund, reference)
    assert await partner.provider.find_refund(refund, reference) is None
    assert (await partner.provider.refund(refund, reference)).is_refunded

    assert await refunds_of(partner, reference) == [1000]


# --- by hand ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_hand(resources: Resources) -> PaymentProvider:
    """The second provider: of the contract, what needs nobody at the other end."""
    return beside_transfers(resources.payments)[MANUAL]


async def test_a_transfer_is_expected_however_often_it_is_asked_for(by_hand: PaymentProvider) -> None:
    wish = a_wish(MANUAL)

    answers = [await by_hand.authorize(wish) for _ in range(2)]

    assert answers == [PaymentAuthorization(answer=Answer.EXPECTED, reference=None)] * 2
    assert await by_hand.look_up(LookUpPayment(payment_id=wish.payment_id)) is None


async def test_a_transfer_that_has_come_is_captured_by_every_parcel_and_nothing_is_held(
    by_hand: PaymentProvider, sandbox: httpx.AsyncClient
) -> None:
    wish = a_wish(MANUAL)

    for minor in (1000, 3497):
        assert await by_hand.capture(a_capture(wish, minor), "statement 12") == PaymentCapture(is_captured=True)
    await by_hand.release(the_rest(wish), "statement 12")

    rows = (await sandbox.get("/ledger")).json()["items"]
    assert [row for row in rows if row["metadata"].get("payment_id") == str(wish.payment_id)] == []


async def test_what_came_by_hand_goes_back_by_hand(by_hand: PaymentProvider) -> None:
    wish = a_wish(MANUAL)

    answers = [await by_hand.give_back(the_way_back(wish)) for _ in range(2)]

    assert answers == [PaymentGivenBack(how=MoneyBack.BY_HAND)] * 2
    refund = a_refund(wish, 1000)
    assert (await by_hand.refund(refund, "statement 12")).refusal == "by_hand_only"
    assert await by_hand.find_refund(refund, "statement 12") is None


def test_nobody_is_believed_who_tells_of_transfers_by_webhook(by_hand: PaymentProvider) -> None:
    with pytest.raises(WebhookForged):
        by_hand.read_webhook(a_webhook(str(uuid4())), {})


# --- the provider's own books ----------------------------------------------------------------------------------------

A_MOMENT_AGO, SOON = timedelta(minutes=-5), timedelta(minutes=5)


async def in_the_books(partner: Partner, reference: str, *, since: timedelta, until: timedelta) -> BookedPayment | None:
    now = datetime.now(UTC)
    found = [payment async for payment in partner.provider.payments_between(now + since, now + until)]
    return next((payment for payment in found if payment.reference == reference), None)


async def test_all_payments_of_a_span_are_in_the_books_over_many_pages(partner: Partner) -> None:
    before = datetime.now(UTC) + A_MOMENT_AGO
    made = [await partner.authorized(a_wish(partner.good)) for _ in range(101)]

    found = [payment async for payment in partner.provider.payments_between(before, before + 4 * SOON)]

    assert set(made) <= {payment.reference for payment in found}
    assert len({payment.reference for payment in found}) == len(found)


async def test_the_books_tell_what_is_held_taken_and_given_back(partner: Partner) -> None:
    wish, reference = await a_captured_payment(partner)
    await partner.provider.refund(a_refund(wish, 1000), reference)
    held = a_wish(partner.good)
    still_held = await partner.authorized(held)

    taken = await in_the_books(partner, reference, since=A_MOMENT_AGO, until=SOON)
    waiting = await in_the_books(partner, still_held, since=A_MOMENT_AGO, until=SOON)

    assert taken is not None
    assert waiting is not None
    assert (taken.payment_id, taken.currency) == (wish.payment_id, "USD")
    assert (taken.held, taken.captured, taken.refunded, taken.kept) == (0, 4497, 1000, 3497)
    assert (waiting.held, waiting.captured, waiting.refunded) == (4497, 0, 0)
    assert await partner.provider.find_payment(reference) == taken
    assert await in_the_books(partner, reference, since=4 * A_MOMENT_AGO, until=A_MOMENT_AGO) is None


async def test_a_payment_that_the_provider_does_not_know_is_not_found(partner: Partner) -> None:
    assert await partner.provider.find_payment("pi_nobody_knows") is None


async def test_what_was_refunded_in_a_span_is_found_however_old_its_payment(partner: Partner) -> None:
    wish, reference = await a_captured_payment(partner)
    now, a_day = datetime.now(UTC), timedelta(days=1)
    await partner.provider.refund(a_refund(wish, 1000), reference)

    found = [refunded async for refunded in partner.provider.refunded_between(now + A_MOMENT_AGO, now + SOON)]
    earlier = [refunded async for refunded in partner.provider.refunded_between(now - a_day, now + A_MOMENT_AGO)]

    assert reference in found
    assert reference not in earlier
