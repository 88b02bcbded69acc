"""Payments as the official stripe package sees them."""

from typing import Any

import aiohttp
import pytest
import stripe

from tests.sandbox.conftest import KEY, Sandbox


async def test_a_manual_payment_is_held_and_then_taken(sandbox_clean: Sandbox) -> None:
    held = await sandbox_clean.authorized(5000, key="order-1", metadata={"order": "1"}, expand=["latest_charge"])
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 5000, 0)
    assert (held.metadata["order"], held.livemode, held.currency) == ("1", False, "usd")
    assert isinstance(held.latest_charge, stripe.Charge)
    assert (held.latest_charge.captured, held.latest_charge.payment_method) == (False, "pm_card_visa")

    taken = await sandbox_clean.intents.capture_async(held.id, None, {"idempotency_key": "capture-1"})
    assert (taken.status, taken.amount_capturable, taken.amount_received) == ("succeeded", 0, 5000)
    assert await sandbox_clean.ledger(held.id) == [
        ("authorize", 5000, "usd", "order-1"),
        ("capture", 5000, "usd", "capture-1"),
    ]


async def test_an_automatic_payment_is_taken_at_once(sandbox_clean: Sandbox) -> None:
    paid = await sandbox_clean.confirmed(700, payment_method="pm_card_mastercard", key="k")
    assert (paid.status, paid.amount_received) == ("succeeded", 700)
    assert await sandbox_clean.ledger(paid.id) == [("authorize", 700, "usd", "k"), ("capture", 700, "usd", "k")]


async def test_an_intent_can_be_created_first_and_confirmed_later(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.intents.create_async(
        {"amount": 900, "currency": "EUR", "capture_method": "manual", "payment_method_types": ["card"]}
    )
    assert (intent.status, intent.currency, intent.payment_method) == ("requires_payment_method", "eur", None)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox_clean.intents.confirm_async(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"
    confirmed = await sandbox_clean.intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert confirmed.status == "requires_capture"


@pytest.mark.parametrize(
    ("payment_method", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded"),
    ],
)
async def test_a_declined_card_says_why_and_moves_no_money(
    sandbox_clean: Sandbox, payment_method: str, code: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await sandbox_clean.authorized(payment_method=payment_method)
    error: Any = declined.value.error
    assert (declined.value.http_status, error.code, error.decline_code) == (402, code, decline_code)
    assert str(declined.value.request_id).startswith("req_")
    intent = await sandbox_clean.intents.retrieve_async(error.payment_intent.id)
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert (intent.last_payment_error.code, intent.last_payment_error.charge) == (code, intent.latest_charge)
    assert await sandbox_clean.ledger(intent.id) == []

    retried = await sandbox_clean.intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert (retried.status, retried.last_payment_error) == ("requires_capture", None)


async def test_an_unknown_payment_method_is_refused(sandbox_clean: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox_clean.authorized(payment_method="pm_nobody")
    assert (refused.value.http_status, refused.value.code) == (400, "resource_missing")
    assert refused.value.user_message == "No such PaymentMethod: 'pm_nobody'"
    assert (await sandbox_clean.intents.list_async()).data == []


@pytest.mark.parametrize("payment_method", ["pm_card_authenticationRequired", "pm_card_threeDSecure2Required"])
async def test_a_payer_who_proves_who_they_are_has_paid(sandbox_clean: Sandbox, payment_method: str) -> None:
    intent = await sandbox_clean.authorized(
        1500, key="order-3", payment_method=payment_method, return_url="http://shop.example/back?order=3"
    )
    assert (intent.status, intent.amount_capturable, intent.latest_charge) == ("requires_action", 0, None)
    assert intent.next_action is not None
    assert intent.next_action.type == "redirect_to_url"
    page = intent.next_action.redirect_to_url.url
    assert page == f"{sandbox_clean.url}/3ds/{intent.id}"
    async with sandbox_clean.http.get(page) as answer:
        shown = await answer.text()
    assert f'action="/3ds/{intent.id}/complete"' in shown
    assert f'action="/3ds/{intent.id}/fail"' in shown
    assert await sandbox_clean.ledger(intent.id) == []

    async with sandbox_clean.http.post(f"{page}/complete", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "http://shop.example/back?order=3")
    intent = await sandbox_clean.intents.retrieve_async(intent.id)
    assert (intent.status, intent.amount_capturable, intent.next_action) == ("requires_capture", 1500, None)
    assert await sandbox_clean.ledger(intent.id) == [("authorize", 1500, "usd", "order-3")]

    async with sandbox_clean.http.post(f"{page}/complete", allow_redirects=False) as answer:
        assert answer.status == 409
    assert len(await sandbox_clean.ledger(intent.id)) == 1


async def test_a_payer_who_fails_to_prove_it_has_not_paid(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized(1500, payment_method="pm_card_authenticationRequired")
    async with sandbox_clean.http.post(f"{sandbox_clean.url}/3ds/{intent.id}/fail") as answer:
        assert answer.status == 200
    intent = await sandbox_clean.intents.retrieve_async(intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == "payment_intent_authentication_failure"
    assert await sandbox_clean.ledger(intent.id) == []


async def test_a_payer_may_prove_it_and_still_lack_the_money(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized(
        payment_method="pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"
    )
    async with sandbox_clean.http.post(f"{sandbox_clean.url}/3ds/{intent.id}/complete"):
        pass
    intent = await sandbox_clean.intents.retrieve_async(intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == "insufficient_funds"


async def test_a_payer_who_is_absent_cannot_prove_anything(sandbox_clean: Sandbox) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await sandbox_clean.authorized(payment_method="pm_card_authenticationRequired", off_session=True)
    assert declined.value.code == "authentication_required"


async def test_a_challenge_that_nobody_met_is_cancelled_with_its_intent(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized(payment_method="pm_card_authenticationRequired")
    await sandbox_clean.intents.cancel_async(intent.id)
    async with sandbox_clean.http.post(f"{sandbox_clean.url}/3ds/{intent.id}/complete") as answer:
        assert answer.status == 409
    assert await sandbox_clean.ledger(intent.id) == []


async def test_several_captures_take_what_ships_and_the_last_releases_the_rest(sandbox_clean: Sandbox) -> None:
    options = {"card": {"request_multicapture": "if_available"}}
    intent = await sandbox_clean.authorized(1000, key="a", payment_method_options=options)
    capture = sandbox_clean.intents.capture_async
    first = await capture(intent.id, {"amount_to_capture": 300, "final_capture": False}, {"idempotency_key": "b"})
    assert (first.status, first.amount_capturable, first.amount_received) == ("requires_capture", 700, 300)
    second = await capture(intent.id, {"amount_to_capture": 500}, {"idempotency_key": "c"})
    assert (second.status, second.amount_capturable, second.amount_received) == ("succeeded", 0, 800)
    assert await sandbox_clean.ledger(intent.id) == [
        ("authorize", 1000, "usd", "a"),
        ("capture", 300, "usd", "b"),
        ("capture", 500, "usd", "c"),
        ("void", 200, "usd", "c"),
    ]
    charge = await sandbox_clean.stripe.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.amount, charge.amount_captured, charge.captured) == (1000, 800, True)
    assert await sandbox_clean.get("/ledger/totals") == {
        "usd": {
            "authorize": 1000,
            "capture": 800,
            "void": 200,
            "refund": 0,
            "dispute": 0,
            "dispute_reversal": 0,
            "held": 0,
            "balance": 800,
        }
    }


async def test_the_rest_of_several_captures_can_be_released_by_a_final_one_of_nothing(sandbox_clean: Sandbox) -> None:
    options = {"card": {"request_multicapture": "if_available"}}
    intent = await sandbox_clean.authorized(1000, payment_method_options=options)
    await sandbox_clean.intents.capture_async(intent.id, {"amount_to_capture": 300, "final_capture": False})
    done = await sandbox_clean.intents.capture_async(intent.id, {"amount_to_capture": 0, "final_capture": True})
    assert (done.status, done.amount_received) == ("succeeded", 300)
    kinds = [(kind, amount) for kind, amount, *_ in await sandbox_clean.ledger(intent.id)]
    assert kinds == [("authorize", 1000), ("capture", 300), ("void", 700)]


async def test_more_captures_must_have_been_asked_for(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized(1000)
    with pytest.raises(stripe.InvalidRequestError, match="request_multicapture"):
        await sandbox_clean.intents.capture_async(intent.id, {"amount_to_capture": 300, "final_capture": False})
    assert (await sandbox_clean.intents.retrieve_async(intent.id)).amount_capturable == 1000


async def test_no_more_can_be_captured_than_is_held(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized(1000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox_clean.intents.capture_async(intent.id, {"amount_to_capture": 1001})
    assert (refused.value.http_status, refused.value.code) == (400, "amount_too_large")
    assert [kind for kind, *_ in await sandbox_clean.ledger(intent.id)] == ["authorize"]


async def test_a_cancelled_authorization_is_released_and_stays_cancelled(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized(1000, key="a")
    canceled = await sandbox_clean.intents.cancel_async(
        intent.id, {"cancellation_reason": "requested_by_customer"}, {"idempotency_key": "b"}
    )
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "requested_by_customer")
    assert await sandbox_clean.ledger(intent.id) == [("authorize", 1000, "usd", "a"), ("void", 1000, "usd", "b")]
    for step in (sandbox_clean.intents.cancel_async, sandbox_clean.intents.capture_async):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await step(intent.id)
        error: Any = refused.value.error
        assert (error.code, error.payment_intent.status) == ("payment_intent_unexpected_state", "canceled")
    assert len(await sandbox_clean.ledger(intent.id)) == 2


async def test_a_succeeded_payment_cannot_be_cancelled_or_captured_again(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.confirmed(payment_method="pm_card_visa")
    for step in (sandbox_clean.intents.cancel_async, sandbox_clean.intents.capture_async):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await step(intent.id)
        assert refused.value.code == "payment_intent_unexpected_state"


async def test_refunds_give_back_what_was_taken_and_no_more(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized(1000)
    refunds = sandbox_clean.stripe.v1.refunds
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.create_async({"payment_intent": intent.id})
    assert refused.value.code == "payment_intent_unexpected_state"
    await sandbox_clean.intents.capture_async(intent.id, {"amount_to_capture": 900})

    part = await refunds.create_async({"payment_intent": intent.id, "amount": 400, "metadata": {"return": "7"}})
    assert (part.status, part.amount, part.charge) == ("succeeded", 400, intent.latest_charge)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.create_async({"payment_intent": intent.id, "amount": 501})
    assert (refused.value.code, refused.value.param) == ("amount_too_large", "amount")
    rest = await refunds.create_async({"charge": str(intent.latest_charge)})
    assert rest.amount == 500
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await refunds.create_async({"payment_intent": intent.id})
    assert refused.value.code == "charge_already_refunded"

    assert [amount for kind, amount, *_ in await sandbox_clean.ledger(intent.id) if kind == "refund"] == [400, 500]
    noted = await refunds.update_async(part.id, {"metadata": {"return": "8"}})
    assert (noted.id, noted.to_dict()["metadata"]) == (part.id, {"return": "8"})
    listed = await refunds.list_async({"payment_intent": intent.id})
    assert [refund.id for refund in listed.data] == [rest.id, part.id]
    charge = await sandbox_clean.stripe.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (900, True)


async def test_metadata_is_merged_unset_and_searchable_at_once(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized(metadata={"order": "1", "cart": "c"})
    other = await sandbox_clean.authorized(metadata={"order": "2"})
    changed = await sandbox_clean.intents.update_async(intent.id, {"metadata": {"order": "9", "cart": ""}})
    assert changed.metadata.to_dict() == {"order": "9"}

    async def found(query: str) -> list[str]:
        return [intent.id for intent in (await sandbox_clean.intents.search_async({"query": query})).data]

    assert await found("metadata['order']:'1'") == []
    assert await found("metadata['order']:'9'") == [intent.id]
    assert await found("metadata[\"order\"]:'2' AND status:'requires_capture'") == [other.id]
    assert await found("metadata['order']:'2' AND status:'succeeded'") == []
    assert await found("status:'requires_capture' AND -metadata['order']:'2' AND amount>=5000") == [intent.id]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await found("colour:'red'")
    assert refused.value.param == "query"


async def test_lists_are_newest_first_and_continue_where_they_stopped(sandbox_clean: Sandbox) -> None:
    made = [(await sandbox_clean.authorized(100 + n)).id for n in range(3)][::-1]
    first = await sandbox_clean.intents.list_async({"limit": 2})
    assert ([intent.id for intent in first.data], first.has_more) == (made[:2], True)
    second = await sandbox_clean.intents.list_async({"limit": 2, "starting_after": made[1]})
    assert ([intent.id for intent in second.data], second.has_more) == (made[2:], False)
    assert [intent.id async for intent in first.auto_paging_iter()] == made
    moment = first.data[-1].created
    assert len((await sandbox_clean.intents.list_async({"created": {"gte": moment - 60}})).data) == 3
    assert (await sandbox_clean.intents.list_async({"created": {"gt": moment + 60}})).data == []


@pytest.mark.parametrize(
    ("wish", "code", "param"),
    [
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": "ten", "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 0, "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 10**30, "currency": "usd"}, "parameter_invalid_integer", "amount"),
        ({"amount": 5, "currency": "usd", "colour": "red"}, "parameter_unknown", "colour"),
        ({"amount": 5, "currency": "dollars"}, None, "currency"),
        ({"amount": 5, "currency": "usd", "capture_method": "later"}, None, "capture_method"),
        ({"amount": 5, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}, None, "return_url"),
        ({"amount": 5, "currency": "usd", "expand": ["colour"]}, None, "expand"),
    ],
)
async def test_wrong_parameters_are_named_and_nothing_is_made(
    sandbox_clean: Sandbox, wish: dict[str, Any], code: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox_clean.intents.create_async(wish)
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)
    assert (await sandbox_clean.intents.list_async()).data == []


async def test_an_unknown_intent_or_address_is_not_found(sandbox_clean: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        await sandbox_clean.intents.retrieve_async("pi_nobody")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    status, body, _ = await sandbox_clean.post("/v1/customers", {})
    assert (status, body["error"]["type"]) == (404, "invalid_request_error")


async def test_a_wrong_key_is_refused_and_not_repeated(sandbox_clean: Sandbox) -> None:
    wrong = {"Authorization": "Bearer sk_test_of_somebody_else"}
    async with sandbox_clean.http.get(f"{sandbox_clean.url}/v1/payment_intents", headers=wrong) as answer:
        assert (answer.status, "somebody" in await answer.text()) == (401, False)
    basic = {"Authorization": aiohttp.encode_basic_auth(KEY)}
    async with sandbox_clean.http.get(f"{sandbox_clean.url}/v1/payment_intents", headers=basic) as answer:
        assert answer.status == 200
