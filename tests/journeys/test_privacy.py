"""People stay in Postgres: the engine carries ids."""

import base64
import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
from sqlalchemy import select
from temporalio.client import WorkflowHistory

from db.customers import User
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.people import a_verified_person
from tests.support.shopper import ADDRESS, Shopper
from workflows.names import order_id, registration_id


async def test_no_history_of_a_registration_and_an_order_names_anybody(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> None:
    person = await a_verified_person(api, sandbox)
    await person.sign_in()
    me = (await person.me()).json()
    planted = {
        name: f"{value}-{uuid4().hex[:8]}" for name, value in ADDRESS.items() if name in ("name", "line1", "city")
    }
    product = await a_product(resources.sessions, stock=5)
    shopper = Shopper(api, email=person.email, headers=person.headers)
    cart = await shopper.a_cart((product.variant_id, 1))
    await shopper.send("PUT", f"/v1/carts/{cart}/shipping-address", json={**ADDRESS, **planted})
    order = (await shopper.check_out(cart)).json()
    parcel = (await api.post(f"/v1/admin/orders/{order['id']}/fulfillments", json={}, headers=operator)).json()
    shipping = {"carrier": "UPS", "tracking_number": "1Z"}
    await api.post(f"/v1/admin/fulfillments/{parcel['id']}/ship", json=shipping, headers=operator)
    await api.post(f"/v1/admin/fulfillments/{parcel['id']}/deliver", headers=operator)
    async with resources.sessions() as session:
        password_hash = await session.scalar(select(User.password_hash).where(User.id == UUID(me["id"])))

    histories = [
        history
        for workflow_id in (registration_id(UUID(me["id"])), order_id(UUID(order["id"])))
        async for history in histories_of(resources, workflow_id)
    ]

    assert len(histories) == 3  # the registration, and the two chapters of the order
    text = "\n".join(everything_in(history) for history in histories)
    secrets = [person.email, person.username, person.password, str(password_hash), *planted.values()]
    assert [secret for secret in secrets if secret.lower() in text.lower()] == []
    assert order["id"] in text  # the search itself works


async def histories_of(resources: Resources, workflow_id: str) -> AsyncIterator[WorkflowHistory]:
    async for run in resources.temporal.list_workflows(f"WorkflowId = '{workflow_id}'"):
        yield await resources.temporal.get_workflow_handle(workflow_id, run_id=run.run_id).fetch_history()


def everything_in(history: WorkflowHistory) -> str:
    """The history as text, its payloads decoded."""
    plain: list[str] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "data" and isinstance(value, str):
                    plain.append(base64.b64decode(value).decode(errors="replace"))
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
        elif isinstance(node, str):
            plain.append(node)

    walk(json.loads(history.to_json()))
    return "\n".join(plain)
