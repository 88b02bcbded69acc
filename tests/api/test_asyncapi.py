"""The description of what other systems hear is one, and describes what they hear."""

import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from api.asyncapi import document
from domain.events import envelope
from runtime.event_schemas import schemas
from runtime.resources import Resources
from runtime.settings import Events, Settings
from tests.db.test_outbox import events_of, publish
from tests.support.catalog import a_product
from tests.support.orders import a_confirmed_order

ASYNCAPI = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text())


@pytest.mark.parametrize(
    ("destination", "address"), [("redis", "sutler:events"), ("kafka", "sutler.events"), ("none", None)]
)
def test_the_document_is_asyncapi(settings: Settings, destination: Any, address: str | None) -> None:
    events = Events(destination=destination, kafka_servers="broker:9092")
    made = document(settings.model_copy(update={"events": events}))

    jsonschema_rs.validator_for(ASYNCAPI).validate(made)
    assert made["channels"]["events"]["address"] == address
    assert set(made["channels"]["events"]["messages"]) == set(made["components"]["messages"]) == set(schemas())


async def test_every_event_of_an_order_is_what_the_document_says(api: httpx.AsyncClient, resources: Resources) -> None:
    answer = await api.get("/asyncapi.json")
    served = answer.json()
    product = await a_product(resources.sessions)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    await publish(resources)

    assert served == json.loads(json.dumps(document(resources.settings)))
    for event in await events_of(resources, str(order.order_id)):
        payload = served["components"]["messages"][f"{event.type}.v1"]["payload"]
        reader = jsonschema_rs.validator_for({**payload, "components": served["components"]}, validate_formats=True)
        reader.validate(envelope(event, resources.settings.event_source))
        with pytest.raises(jsonschema_rs.ValidationError):
            reader.validate({**envelope(event, "x"), "type": "order.imagined"})
