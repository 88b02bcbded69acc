"""What happened reaches the shop, signed, as often as it takes."""

import json

from tests.sandbox.conftest import Sandbox, wait_until


async def test_every_step_of_a_payment_is_told(sandbox_clean: Sandbox) -> None:
    hooks = sandbox_clean.hooks
    intent = await sandbox_clean.authorized(1000, key="k")
    await hooks.wait_for("payment_intent.created", "payment_intent.amount_capturable_updated")
    await sandbox_clean.intents.capture_async(intent.id)
    await sandbox_clean.stripe.v1.refunds.create_async({"payment_intent": intent.id, "amount": 100})
    await hooks.wait_for(
        "payment_intent.created",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
        "refund.created",
        "charge.refunded",
    )
    held = next(event for event in hooks.events if event.type == "payment_intent.amount_capturable_updated")
    assert held.data.object["id"] == intent.id
    assert held.data.object["amount_capturable"] == 1000
    assert held.request is not None
    assert held.request.idempotency_key == "k"
    assert len({event.id for event in hooks.events}) == 6


async def test_declines_challenges_and_cancellations_are_told(sandbox_clean: Sandbox) -> None:
    hooks = sandbox_clean.hooks
    asked = await sandbox_clean.authorized(payment_method="pm_card_authenticationRequired")
    await hooks.wait_for("payment_intent.created", "payment_intent.requires_action")
    async with sandbox_clean.http.post(f"{sandbox_clean.url}/3ds/{asked.id}/fail"):
        pass
    await sandbox_clean.intents.cancel_async(asked.id)
    await hooks.wait_for(
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
    )


async def test_events_can_be_read_later_just_as_they_were_sent(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.authorized()
    await wait_until(lambda: len(sandbox_clean.hooks.bodies) == 2)
    sent = {event["id"]: event for event in map(json.loads, sandbox_clean.hooks.bodies)}
    listed = await sandbox_clean.get("/v1/events?limit=5")
    assert {event["id"]: event for event in listed["data"]} == sent
    assert [event["type"] for event in listed["data"]] == [
        "payment_intent.amount_capturable_updated",
        "payment_intent.created",
    ]
    assert len((await sandbox_clean.get("/v1/events?type=payment_intent.created"))["data"]) == 1
    one = await sandbox_clean.stripe.v1.events.retrieve_async(listed["data"][0]["id"])
    assert one.type == "payment_intent.amount_capturable_updated"


async def test_a_shop_that_is_down_is_told_again(sandbox_clean: Sandbox) -> None:
    hooks = sandbox_clean.hooks
    hooks.status = 503
    await sandbox_clean.intents.create_async({"amount": 5, "currency": "usd"})
    await wait_until(lambda: len(hooks.bodies) >= 2)
    assert hooks.events == []
    hooks.status = 200
    await hooks.wait_for("payment_intent.created")
    assert len(set(hooks.bodies)) == 1
