"""The outside world misbehaves as it is told, and not otherwise."""

from typing import Any

import aiohttp
import aiosmtplib
import pytest
import stripe

from tests.sandbox.conftest import KEY, Sandbox

NONE: dict[str, dict[str, Any]] = {
    "payments": {
        "error_rate": 0.0,
        "latency_ms": 0,
        "drop_response_rate": 0.0,
        "duplicate_webhook_rate": 0.0,
        "webhook_delay_ms": 0,
        "webhook_jitter_ms": 0,
        "next": [],
    },
    "mail": {"error_rate": 0.0, "latency_ms": 0},
}


async def test_partial_documents_are_merged_and_deleted_together(sandbox_clean: Sandbox) -> None:
    assert await sandbox_clean.get("/faults") == NONE
    await sandbox_clean.faults(latency_ms=1)
    async with sandbox_clean.http.put(f"{sandbox_clean.url}/faults", json={"mail": {"error_rate": 0.5}}) as answer:
        assert await answer.json() == {
            "payments": NONE["payments"] | {"latency_ms": 1},
            "mail": {"error_rate": 0.5, "latency_ms": 0},
        }
    async with sandbox_clean.http.delete(f"{sandbox_clean.url}/faults") as answer:
        assert await answer.json() == NONE


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"payments": {"error_rate": 1.5}}, "$.payments.error_rate"),
        ({"payments": {"latency_ms": -1, "error_rate": 0.5}}, "$.payments.latency_ms"),
        ({"payments": {"colour": 1}}, "colour"),
        ({"weather": {}}, "weather"),
        ({"payments": {"next": [{"operation": "fly", "fault": "error"}]}}, "$.payments.next[0].operation"),
        ([], "array"),
    ],
)
async def test_a_wrong_document_is_refused_and_changes_nothing(
    sandbox_clean: Sandbox, document: Any, says: str
) -> None:
    async with sandbox_clean.http.put(f"{sandbox_clean.url}/faults", json=document) as answer:
        problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["status"], says in problem["detail"]) == (422, 422, True)
    assert await sandbox_clean.get("/faults") == NONE


async def test_an_error_rate_fails_before_any_work(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.faults(error_rate=1)
    with pytest.raises(stripe.APIError) as failed:
        await sandbox_clean.authorized()
    error: Any = failed.value.error
    assert (failed.value.http_status, error.type) == (500, "api_error")
    await sandbox_clean.faults(error_rate=0)
    assert (await sandbox_clean.intents.list_async()).data == []


async def test_a_refusal_is_final_for_its_key_and_moves_nothing(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized()
    await sandbox_clean.next_fault("capture", "refusal")
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await sandbox_clean.intents.capture_async(intent.id, options={"idempotency_key": "once"})
        assert (refused.value.http_status, refused.value.code) == (400, "refused_on_request")
    assert (await sandbox_clean.intents.retrieve_async(intent.id)).status == "requires_capture"

    captured = await sandbox_clean.intents.capture_async(intent.id, options={"idempotency_key": "another"})
    assert captured.status == "succeeded"


async def test_a_dropped_answer_is_a_cut_connection_after_the_work(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.faults(drop_response_rate=1)
    headers = {"Authorization": f"Bearer {KEY}"}
    wish = {"amount": "5", "currency": "usd"}
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await sandbox_clean.http.post(f"{sandbox_clean.url}/v1/payment_intents", data=wish, headers=headers)
    await sandbox_clean.faults(drop_response_rate=0)
    assert len((await sandbox_clean.intents.list_async()).data) == 1


async def test_planned_faults_are_used_up_in_order_each_by_its_own_operation(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized()
    await sandbox_clean.faults(
        next=[
            {"operation": "capture", "fault": "error"},
            {"operation": "retrieve", "fault": "error"},
            {"operation": "capture", "fault": "drop_response"},
        ]
    )
    for step in (sandbox_clean.intents.retrieve_async, sandbox_clean.intents.capture_async):
        with pytest.raises(stripe.APIError) as failed:
            await step(intent.id)
        assert failed.value.http_status == 500
    assert (await sandbox_clean.intents.retrieve_async(intent.id)).status == "requires_capture"
    with pytest.raises(stripe.APIConnectionError):
        await sandbox_clean.intents.capture_async(intent.id)
    assert (await sandbox_clean.intents.retrieve_async(intent.id)).status == "succeeded"
    assert await sandbox_clean.get("/faults") == NONE


async def test_a_hanging_request_answers_nothing_and_does_nothing(sandbox_clean: Sandbox) -> None:
    intent = await sandbox_clean.authorized()
    await sandbox_clean.next_fault("cancel", "hang")
    address = f"{sandbox_clean.url}/v1/payment_intents/{intent.id}/cancel"
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k"}
    with pytest.raises(TimeoutError):
        await sandbox_clean.http.post(address, headers=headers, timeout=aiohttp.ClientTimeout(total=0.1))
    assert (await sandbox_clean.intents.retrieve_async(intent.id)).status == "requires_capture"

    await sandbox_clean.next_fault("refund", "hang", ms=50)
    with pytest.raises(stripe.APIConnectionError):
        await sandbox_clean.stripe.v1.refunds.create_async({"payment_intent": intent.id})


async def test_a_mail_can_be_refused_for_now(sandbox_clean: Sandbox) -> None:
    async with sandbox_clean.http.put(f"{sandbox_clean.url}/faults", json={"mail": {"error_rate": 1}}):
        pass
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await sandbox_clean.send_mail("a@example.com")
    assert refused.value.code == 451
    assert (await sandbox_clean.get("/mail"))["items"] == []


async def test_a_webhook_can_arrive_twice_and_late(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.faults(duplicate_webhook_rate=1, webhook_delay_ms=150)
    intent = await sandbox_clean.intents.create_async({"amount": 5, "currency": "usd"})
    assert sandbox_clean.hooks.bodies == []
    await sandbox_clean.hooks.wait_for("payment_intent.created", "payment_intent.created")
    first, second = sandbox_clean.hooks.events
    assert (first.id, first.data.object["id"]) == (second.id, intent.id)


async def test_webhooks_can_overtake_each_other(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.faults(webhook_jitter_ms=400)
    made = [(await sandbox_clean.intents.create_async({"amount": 5, "currency": "usd"})).id for _ in range(10)]
    await sandbox_clean.hooks.wait_for(*["payment_intent.created"] * len(made))

    told = [event.data.object["id"] for event in sandbox_clean.hooks.events]
    assert (sorted(told), told != made) == (sorted(made), True)
