"""The feed: all that has happened, for those who ask again and again."""

from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import get
from litestar.params import Parameter
from pydantic import Field

from api.errors import refuses
from api.operators import DENIED
from api.paging import Cursor, Limit, encode_cursor, number_in_cursor
from api.schemas import Output
from db import outbox
from domain.errors import Refusal
from domain.events import CATALOGUE, Published, envelope
from domain.permissions import Permission
from runtime.resources import Resources

KIND = "The type of an event, such as `order.confirmed`; several with `type=…&type=…`"


class CloudEvent(Output):
    """An event as the stream carries it, too; `/asyncapi.json` says what the `data` of each type holds."""

    specversion: Literal["1.0"]
    id: UUID = Field(description="The same each time the event is told: leave out what you have seen")
    source: str
    type: str = Field(examples=["order.confirmed"])
    subject: str = Field(examples=["orders/0190d2c4-0000-7000-8000-000000000001"])
    time: str = Field(description="RFC 3339, UTC")
    datacontenttype: str
    dataschema: str | None = Field(description="`null` for events of a time before they had schemas")
    partitionkey: str = Field(description="Events with the same one keep their order")
    sequence: str | None = Field(description="Counts the events of an order from 1, without a gap")
    sequencetype: str | None
    traceparent: str | None = Field(description="In which trace it happened (W3C); `null` where nobody traces")
    data: dict[str, Any]


class EventPage(Output):
    items: list[CloudEvent]
    next_cursor: str | None = Field(description="`null`: that is all for now; ask again with `after` the last event")


@get(
    "/v1/admin/events",
    permission=Permission.EVENTS_READ,
    summary="Read what has happened",
    tags=["Operators"],
    responses=refuses(*DENIED, "event_gone"),
)
async def list_events(
    resources: Resources,
    limit: Limit,
    cursor: Cursor,
    after: Annotated[UUID | None, Parameter(description="The id of the last event that you have")] = None,
    kind: Annotated[list[str] | None, Parameter(query="type", max_items=20, description=KIND)] = None,
    order_id: Annotated[UUID | None, Parameter(description="Only the events of this order")] = None,
) -> EventPage:
    """All events in the order in which they were published, the oldest first.

    An event never comes before one that was there already, so whoever goes on behind the last one misses none.
    """
    for each in kind or ():
        if each not in CATALOGUE:
            raise Refusal("malformed_request", f"There are no events of the type {each!r}.")
    async with resources.autocommit() as session:
        begin = number_in_cursor(cursor)
        if begin is None and after is not None:
            begin = await outbox.place_of(session, after)
            if begin is None:
                raise Refusal("event_gone", "This event is not kept any more. Without `after` you get all that are.")
        events = await outbox.published(
            session, after=begin or 0, most=limit + 1, types=kind or (), key=str(order_id) if order_id else None
        )
    more = encode_cursor([events[limit - 1].position]) if len(events) > limit else None
    items = [_told(event, resources.settings.event_source) for event in events[:limit]]
    return EventPage.model_validate({"items": items, "next_cursor": more})


def _told(event: Published, source: str) -> dict[str, Any]:
    return {"dataschema": None, "sequence": None, "sequencetype": None, "traceparent": None, **envelope(event, source)}
