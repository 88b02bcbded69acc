"""What other systems hear, described as OpenAPI describes what they may ask: AsyncAPI at ``/asyncapi.json``."""

from functools import cache
from typing import Any

from litestar import Response, get
from litestar.serialization import encode_json

from domain.events import CATALOGUE, SPEC_VERSION, Destination, schema_name
from domain.permissions import Permission
from providers.events.base import CONTENT_TYPE
from runtime.event_schemas import schemas
from runtime.resources import Resources
from runtime.settings import Settings

DESCRIPTION = """
Every change of an order, of its money and of the stock, as CloudEvents 1.0 in JSON, at least once: leave out an `id`
that you have seen. Events with the same `partitionkey` keep their order. Within a version fields are only ever added,
and so are values of enumerations: be prepared for ones that you do not know.
"""


@get("/asyncapi.json", permission=Permission.PROBE, include_in_schema=False, sync_to_thread=False)
def asyncapi_document(resources: Resources) -> Response[bytes]:
    return Response(encode_json(document(resources.settings)), media_type="application/json")


def document(settings: Settings) -> dict[str, Any]:
    """The stream as it is set up; where there is none, what it would carry."""
    names = sorted(schemas())
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"{settings.shop.name} events", "version": "1", "description": DESCRIPTION},
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            "events": {
                "address": _address(settings),
                "description": "All events, oldest first.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
        },
        "operations": {
            "tell": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "The shop tells what has happened",
            }
        },
        "components": {
            "messages": {
                schema_name(happened, version): _message(happened, version)
                for happened, versions in CATALOGUE.items()
                for version in versions
            },
            "schemas": _components(),
        },
    }


def _address(settings: Settings) -> str | None:
    match settings.events.destination:
        case Destination.REDIS:
            return settings.events.stream
        case Destination.KAFKA:
            return settings.events.kafka_topic
        case Destination.NONE:
            return None


def _message(happened: str, version: int) -> dict[str, Any]:
    name = schema_name(happened, version)
    of_this = {"type": {"const": happened}, "data": {"$ref": f"#/components/schemas/{name}"}}
    return {
        "name": name,
        "title": happened,
        "contentType": CONTENT_TYPE,
        "payload": {"allOf": [{"$ref": "#/components/schemas/CloudEvent"}, {"properties": of_this}]},
    }


@cache
def _components() -> dict[str, Any]:
    """All schemas in one place; those that several events share stand there once."""
    shared: dict[str, Any] = {"CloudEvent": CLOUD_EVENT}
    for name, schema in schemas().items():
        own = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
        shared |= {part: _moved(it) for part, it in {**schema.get("$defs", {}), name: own}.items()}
    return shared


def _moved(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_moved(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(value)
        for key, value in schema.items()
    }


CLOUD_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0 with the extensions for partitioning, sequences and distributed tracing.",
    "required": [
        *("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "partitionkey", "data")
    ],
    "properties": {
        "specversion": {"const": SPEC_VERSION},
        "id": {"type": "string", "format": "uuid"},
        "source": {"type": "string", "format": "uri-reference"},
        "type": {"type": "string"},
        "subject": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"type": "string", "format": "uri"},
        "partitionkey": {"type": "string", "description": "Events with the same one keep their order."},
        "sequence": {"type": "string", "description": "Counts the events of an order from 1, without a gap."},
        "sequencetype": {"const": "Integer"},
        "traceparent": {"type": "string", "description": "In which trace it happened (W3C), where traces are told."},
        "data": {"type": "object"},
    },
}
