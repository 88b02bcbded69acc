"""The same key gets the same answer, whatever happened to the first one on its way."""

import asyncio
from typing import Any

import aiohttp
import pytest
import stripe

from tests.sandbox.conftest import KEY, Sandbox, wait_until

INTENTS = "/v1/payment_intents"


def form(amount: int = 500, payment_method: str = "pm_card_visa") -> dict[str, str]:
    return {
        "amount": str(amount),
        "currency": "usd",
        "confirm": "true",
        "payment_method": payment_method,
        "payment_method_types[]": "card",
        "capture_method": "manual",
        "metadata[order]": "o1",
    }


async def test_a_repeated_request_gets_the_first_answer_and_moves_no_money_again(sandbox_clean: Sandbox) -> None:
    status, first, headers = await sandbox_clean.post(INTENTS, form(), key="k")
    assert (status, "Idempotent-Replayed" in headers) == (200, False)
    reordered = dict(reversed(form().items()))
    status, second, headers = await sandbox_clean.post(INTENTS, reordered, key="k")
    assert (status, second, headers["Idempotent-Replayed"]) == (200, first, "true")
    assert await sandbox_clean.ledger(first["id"]) == [("authorize", 500, "usd", "k")]
    assert len((await sandbox_clean.get(INTENTS))["data"]) == 1


async def test_a_decline_is_replayed_too(sandbox_clean: Sandbox) -> None:
    first = await sandbox_clean.post(INTENTS, form(payment_method="pm_card_chargeDeclined"), key="k")
    second = await sandbox_clean.post(INTENTS, form(payment_method="pm_card_chargeDeclined"), key="k")
    assert (first[0], second[0], second[1]) == (402, 402, first[1])
    assert second[2]["Idempotent-Replayed"] == "true"
    assert len((await sandbox_clean.get(INTENTS))["data"]) == 1


async def test_a_key_is_good_for_one_request_only(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized(500, key="k")
    with pytest.raises(stripe.IdempotencyError) as other_amount:
        await sandbox_clean.authorized(501, key="k")
    assert other_amount.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError) as other_endpoint:
        await sandbox_clean.intents.capture_async(intent.id, None, {"idempotency_key": "k"})
    assert other_endpoint.value.http_status == 400
    assert await sandbox_clean.ledger(intent.id) == [("authorize", 500, "usd", "k")]
    assert len((await sandbox_clean.get(INTENTS))["data"]) == 1


async def test_a_twin_of_a_running_request_is_told_to_wait(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.next_fault("create", "latency", ms=500)
    first = asyncio.create_task(sandbox_clean.post(INTENTS, form(), key="k"))
    taken: dict[str, Any] = {"payments": {"next": [1]}}
    while taken["payments"]["next"]:  # the fault is taken when the first request has begun
        taken = await sandbox_clean.get("/faults")
    status, body, _ = await sandbox_clean.post(INTENTS, form(), key="k")
    assert (status, body["error"]["type"], body["error"]["code"]) == (
        409,
        "idempotency_error",
        "idempotency_key_in_use",
    )
    status, intent, _ = await first
    assert status == 200
    status, again, headers = await sandbox_clean.post(INTENTS, form(), key="k")
    assert (status, again, headers["Idempotent-Replayed"]) == (200, intent, "true")
    assert len(await sandbox_clean.ledger(intent["id"])) == 1


async def test_a_request_refused_by_validation_leaves_its_key_free(sandbox_clean: Sandbox) -> None:
    status, body, _ = await sandbox_clean.post(INTENTS, form() | {"colour": "red"}, key="k")
    assert (status, body["error"]["code"]) == (400, "parameter_unknown")
    status, _, headers = await sandbox_clean.post(INTENTS, form(), key="k")
    assert (status, "Idempotent-Replayed" in headers) == (200, False)


async def test_a_refusal_made_by_the_work_keeps_its_key(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.confirmed(payment_method="pm_card_visa")
    first = await sandbox_clean.post(f"{INTENTS}/{intent.id}/capture", {}, key="k")
    again = await sandbox_clean.post(f"{INTENTS}/{intent.id}/capture", {}, key="k")
    assert (first[0], first[1]["error"]["code"]) == (400, "payment_intent_unexpected_state")
    assert (again[1], again[2]["Idempotent-Replayed"]) == (first[1], "true")


async def test_an_error_before_the_work_leaves_the_key_free_and_one_after_it_does_not(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.next_fault("create", "error")
    status, body, _ = await sandbox_clean.post(INTENTS, form(), key="before")
    assert (status, body["error"]["type"]) == (500, "api_error")
    assert (await sandbox_clean.get(INTENTS))["data"] == []
    assert (await sandbox_clean.post(INTENTS, form(), key="before"))[0] == 200

    await sandbox_clean.next_fault("create", "error_after")
    assert (await sandbox_clean.post(INTENTS, form(), key="after"))[0] == 500
    status, _, headers = await sandbox_clean.post(INTENTS, form(), key="after")
    assert (status, headers["Idempotent-Replayed"]) == (500, "true")
    assert len((await sandbox_clean.get(INTENTS))["data"]) == 2


async def test_a_lost_answer_is_found_by_search_and_by_repeating(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.next_fault("create", "drop_response")
    with pytest.raises(stripe.APIConnectionError):
        await sandbox_clean.authorized(500, key="k", metadata={"order": "o1"})
    found = (await sandbox_clean.intents.search_async({"query": "metadata['order']:'o1'"})).data
    assert [(intent.status, intent.amount_capturable) for intent in found] == [("requires_capture", 500)]
    repeated = await sandbox_clean.authorized(500, key="k", metadata={"order": "o1"})
    assert repeated.id == found[0].id
    assert await sandbox_clean.ledger(repeated.id) == [("authorize", 500, "usd", "k")]


async def test_a_caller_that_gives_up_does_not_stop_the_work(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.next_fault("create", "latency", ms=200)
    impatient = aiohttp.ClientTimeout(total=0.05)
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k"}
    with pytest.raises(TimeoutError):
        await sandbox_clean.http.post(f"{sandbox_clean.url}{INTENTS}", data=form(), headers=headers, timeout=impatient)
    await wait_until(lambda: "payment_intent.created" in sandbox_clean.hooks.types())
    status, intent, headers_of_replay = await sandbox_clean.post(INTENTS, form(), key="k")
    assert (status, headers_of_replay["Idempotent-Replayed"]) == (200, "true")
    assert len(await sandbox_clean.ledger(intent["id"])) == 1
