"""A cart that was left: real tables, real mails, and a clock that skips."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx

from api.stories import Stories
from runtime.resources import Resources
from tests.api.test_carts import is_problem
from tests.db.test_cart_reminders import agree, letters
from tests.support.catalog import a_product
from tests.support.people import mailed_token, mails_to
from tests.support.shopper import Shopper
from tests.workflows.conftest import skipping_time
from workers.run import DUTIES, worker_for
from workflows.names import Queue, reminder_id


async def test_whoever_left_a_cart_is_reminded_until_they_say_no(
    api: httpx.AsyncClient, resources: Resources, sandbox: httpx.AsyncClient
) -> None:
    product = await a_product(resources.sessions, name="Tea")
    shopper = Shopper(api, email=f"left.{uuid4().hex}@example.com")
    cart_id = await shopper.a_cart((product.variant_id, 2))
    await agree(resources, UUID(cart_id))
    async with skipping_time() as environment:
        duty = DUTIES[Queue.NOTIFICATIONS](resources)
        async with worker_for(Queue.NOTIFICATIONS, duty, environment.client, resources):
            stories = Stories(environment.client, resources.sessions, wait_seconds=30)
            for _ in range(2):
                await stories.begin_reminder(UUID(cart_id))
            story = environment.client.get_workflow_handle(reminder_id(UUID(cart_id)), result_type=int)
            await environment.sleep(timedelta(hours=25))

            token = await mailed_token(sandbox, shopper.email, "unsubscribe")
            one_click = await shopper.send(
                "POST", "/unsubscribe", params={"token": token}, data={"List-Unsubscribe": "One-Click"}
            )
            by_hand = await shopper.send("POST", "/v1/unsubscribe", json={"token": token})
            for answer in (one_click, by_hand):
                assert (answer.status_code, answer.json()) == (200, {"status": "unsubscribed"})

            await environment.sleep(timedelta(hours=25))  # while it is skipped, nobody hears that a story has ended
            assert await story.result() == 1
    [mail] = await mails_to(sandbox, shopper.email)
    assert mail["subject"] == "Sutler: something waits in your cart"
    assert "2 x Tea" in mail["text"]
    assert cart_id not in mail["text"]  # whoever reads another one's mail gets no cart by it
    assert await letters(resources, UUID(cart_id)) == [f"cart_reminder:{cart_id}/1"]
    forged = await shopper.send("POST", "/v1/unsubscribe", json={"token": token[:-4]})
    assert [wrong["pointer"] for wrong in is_problem(forged, 422, "validation_failed")["errors"]] == ["/token"]
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["headers"]["List-Unsubscribe"].replace(" ", "").endswith(f"/unsubscribe?token={token}>")
    page = await api.get("/unsubscribe", params={"token": token})
    assert (page.status_code, "No more reminders" in page.text) == (200, True)


async def test_consent_begins_one_story_of_the_cart(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions), Shopper(api)
    cart_id = await shopper.a_cart((product.variant_id, 1))
    path = f"/v1/carts/{cart_id}"

    agreed = [await shopper.send("PUT", f"{path}/reminders", json={"consent": True}) for _ in range(2)]

    assert [(answer.status_code, answer.json()["reminder_consent"]) for answer in agreed] == [(200, True)] * 2
    described = await resources.temporal.get_workflow_handle(reminder_id(UUID(cart_id))).describe()
    assert described.workflow_type == "Reminder"
    other = await shopper.send("PUT", f"{path}/email", json={"email": "somebody.else@example.com"})
    assert other.json()["reminder_consent"] is False
    back = await shopper.send("PUT", f"{path}/reminders", json={"consent": False})
    assert (back.status_code, back.json()["reminder_consent"]) == (200, False)
