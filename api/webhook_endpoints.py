"""Outgoing webhooks: operators say who is told of events, see what came of it, and have it sent again."""

import json
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.datastructures import CacheControlHeader
from litestar.params import Parameter
from pydantic import AwareDatetime, Field, field_validator, model_validator

from api.auth import Caller
from api.errors import refuses
from api.operators import DENIED
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Input, Output
from db import audit_log, webhook_deliveries, webhooks
from db.base import new_id
from db.webhooks import WebhookEndpoint
from domain.errors import unacceptable
from domain.events import CATALOGUE
from domain.permissions import Permission
from domain.webhooks import (
    LONGEST_OVERLAP_HOURS,
    LONGEST_URL,
    MOST_REPLAYED,
    MOST_TYPES,
    OVERLAP_HOURS,
    DeliveryStatus,
    EndpointStatus,
    PauseReason,
    new_secret,
)
from runtime.outgoing import ForbiddenTargetError
from runtime.resources import Resources
from runtime.webhooks import about

Address = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_URL, description="`https`, and in the internet; redirects are not followed"),
]
Types = Annotated[
    list[str], Field(max_length=MOST_TYPES, description="Which events it is told of; empty: all that there are")
]
Words = Annotated[str, Field(max_length=500)]


def known_types(types: list[str]) -> list[str]:
    if unknown := sorted(set(types) - CATALOGUE.keys()):
        raise ValueError(f"there are no events of the type {', '.join(unknown)}")
    return sorted(set(types))


class NewEndpoint(Input):
    url: Address
    event_types: Types = Field(default_factory=list)
    description: Words = ""

    _known = field_validator("event_types")(known_types)


class EndpointChange(Input):
    """What is left out stays as it is."""

    url: Address | None = None
    event_types: Types | None = None
    description: Words | None = None
    status: Literal[EndpointStatus.ACTIVE, EndpointStatus.DISABLED] | None = Field(
        default=None, description="`active` also ends a pause, and has what waits sent at once"
    )

    @field_validator("event_types")
    @classmethod
    def are_known(cls, types: list[str] | None) -> list[str] | None:
        return known_types(types) if types is not None else None

    @property
    def changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class Rotation(Input):
    overlap_hours: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_HOURS, strict=True)] = Field(
        default=OVERLAP_HOURS, description="How long the secret before signs as well; 0: not at all"
    )


class Replay(Input):
    begin: AwareDatetime = Field(description="Of the events' `time`")
    end: AwareDatetime = Field(description="The first moment that does not belong to it")

    @model_validator(mode="after")
    def ends_after_its_beginning(self) -> Self:
        if self.begin >= self.end:
            raise ValueError("a replay ends after its beginning")
        return self


class EndpointOut(Output):
    id: UUID
    url: str
    description: str
    event_types: list[str]
    status: EndpointStatus = Field(description="`paused`: by the shop, since nothing gets through; its events wait")
    pause_reason: PauseReason | None
    paused_at: datetime | None
    failures: int = Field(description="Attempts that failed since the last one that did not")
    failing_since: datetime | None
    created_at: datetime


class NewEndpointOut(EndpointOut):
    secret: str = Field(description="Shown this once: it is kept sealed. Whoever loses it rotates it")


class RotatedOut(Output):
    secret: str = Field(description="Shown this once; it signs from now on")
    others_end_at: datetime = Field(description="Until then the secrets before sign as well")


class EndpointPage(Output):
    items: list[EndpointOut]
    next_cursor: str | None


class DeliveryOut(Output):
    id: UUID
    endpoint_id: UUID
    event_id: UUID = Field(description="The `webhook-id` of each attempt, and the `id` of the event")
    type: str
    key: str = Field(description="Deliveries with the same one keep their order")
    event_at: datetime
    status: DeliveryStatus
    attempts: int
    status_code: int | None = Field(description="Of the last attempt's answer; `null` where there was none")
    milliseconds: int | None
    problem: str | None = Field(description="Why the last attempt got no answer")
    asked_at: datetime = Field(description="When it was last asked for: when it happened, or by a person")
    last_attempt_at: datetime | None
    next_attempt_at: datetime | None
    ended_at: datetime | None


class AttemptOut(Output):
    number: int
    at: datetime
    status_code: int | None
    milliseconds: int
    said: str = Field(description="The first bytes of the answer")
    problem: str | None


class DeliveryDetails(DeliveryOut):
    event: dict[str, Any] = Field(description="What is sent, as JSON")
    log: list[AttemptOut] = Field(description="The newest attempts, the oldest of them first")


class DeliveryPage(Output):
    items: list[DeliveryOut]
    next_cursor: str | None


class AskedOut(Output):
    delivery_id: UUID


class ReplayedOut(Output):
    events: int = Field(description="So many are sent, each order's in their order")


class WebhookEndpointController(Controller):
    path = "/v1/admin/webhook-endpoints"
    tags = ("Webhooks",)
    cache_control = CacheControlHeader(no_store=True)

    @get(permission=Permission.WEBHOOKS_READ, summary="List webhook endpoints", responses=refuses(*DENIED))
    async def list_endpoints(
        self,
        resources: Resources,
        limit: Limit,
        cursor: Cursor,
        event_type: Annotated[str | None, Parameter(max_length=100, description="Those that are told of it")] = None,
        status: EndpointStatus | None = None,
    ) -> EndpointPage:
        """The newest first."""
        async with resources.autocommit() as session:
            rows = await webhooks.page(
                session, limit=limit + 1, before=id_in_cursor(cursor), event_type=event_type, status=status
            )
        more = cursor_behind(rows, limit, attrgetter("id"))
        return EndpointPage(items=[endpoint_out(row) for row in rows[:limit]], next_cursor=more)

    @post(
        permission=Permission.WEBHOOKS_WRITE,
        summary="Make a webhook endpoint",
        responses=refuses(*DENIED, "too_many_webhook_endpoints"),
    )
    async def create(self, data: NewEndpoint, caller: Caller, resources: Resources) -> NewEndpointOut:
        """It is told of what happens from now on. The secret is in this answer and nowhere else."""
        await must_be_allowed(resources, data.url)
        endpoint_id, secret = new_id(), new_secret()
        sealed = resources.seal.close(secret.encode(), about(endpoint_id))
        async with resources.sessions.begin() as session:
            made = await webhooks.make(
                session,
                endpoint_id,
                data.url,
                event_types=data.event_types,
                description=data.description,
                sealed=sealed,
            )
            await audit_log.note(session, caller.name, "webhook.create", words=f"{endpoint_id} at {data.url}")
        return NewEndpointOut(**vars(endpoint_out(made)), secret=secret)

    @get(
        "/{endpoint_id:uuid}",
        permission=Permission.WEBHOOKS_READ,
        summary="See a webhook endpoint",
        responses=refuses(*DENIED, "not_found"),
    )
    async def show(self, endpoint_id: UUID, resources: Resources) -> EndpointOut:
        """How it is, since when, and whether it takes what it is sent; never its secrets."""
        async with resources.autocommit() as session:
            return endpoint_out(await webhooks.endpoint(session, endpoint_id))

    @patch(
        "/{endpoint_id:uuid}",
        permission=Permission.WEBHOOKS_WRITE,
        summary="Change a webhook endpoint",
        responses=refuses(*DENIED, "not_found"),
    )
    async def change(
        self, endpoint_id: UUID, data: EndpointChange, caller: Caller, resources: Resources
    ) -> EndpointOut:
        """What was written down for it before is sent to where it is now."""
        if data.url is not None:
            await must_be_allowed(resources, data.url)
        words = f"{endpoint_id}: {data.model_dump_json(exclude_none=True)}"
        async with resources.sessions.begin() as session:
            changed = await webhooks.change(session, endpoint_id, data.changes)
            await audit_log.note(session, caller.name, "webhook.change", words=words)
        return endpoint_out(changed)

    @delete(
        "/{endpoint_id:uuid}",
        permission=Permission.WEBHOOKS_WRITE,
        summary="Remove a webhook endpoint",
        responses=refuses(*DENIED, "not_found"),
    )
    async def remove(self, endpoint_id: UUID, caller: Caller, resources: Resources) -> None:
        """What waits for it is not sent any more, and its log is gone."""
        async with resources.sessions.begin() as session:
            await webhooks.remove(session, endpoint_id)
            await audit_log.note(session, caller.name, "webhook.remove", words=str(endpoint_id))

    @post(
        "/{endpoint_id:uuid}/rotate-secret",
        status_code=200,
        permission=Permission.WEBHOOKS_WRITE,
        summary="Rotate the secret",
        responses=refuses(*DENIED, "not_found", "too_many_webhook_secrets"),
    )
    async def rotate(self, endpoint_id: UUID, data: Rotation, caller: Caller, resources: Resources) -> RotatedOut:
        """For the overlap each message carries the signatures of both, so that nobody has to change over at once."""
        secret = new_secret()
        sealed = resources.seal.close(secret.encode(), about(endpoint_id))
        async with resources.sessions.begin() as session:
            end = await webhooks.rotate(session, endpoint_id, sealed, overlap=timedelta(hours=data.overlap_hours))
            await audit_log.note(session, caller.name, "webhook.rotate_secret", words=str(endpoint_id))
        return RotatedOut(secret=secret, others_end_at=end)

    @post(
        "/{endpoint_id:uuid}/ping",
        status_code=202,
        permission=Permission.WEBHOOKS_WRITE,
        summary="Try a webhook endpoint",
        responses=refuses(*DENIED, "not_found", "webhook_endpoint_disabled"),
    )
    async def ping(self, endpoint_id: UUID, caller: Caller, resources: Resources) -> AskedOut:
        """Sends a `webhook.ping`, once; its delivery says what came of it. A paused endpoint that takes it goes on."""
        async with resources.sessions.begin() as session:
            delivery_id = await webhook_deliveries.ping(
                session, endpoint_id, resources.settings.event_source, datetime.now(UTC)
            )
            await audit_log.note(session, caller.name, "webhook.ping", words=str(endpoint_id))
        return AskedOut(delivery_id=delivery_id)

    @post(
        "/{endpoint_id:uuid}/replay",
        status_code=202,
        permission=Permission.WEBHOOKS_WRITE,
        summary="Send all of a time again",
        responses=refuses(*DENIED, "not_found", "webhook_endpoint_disabled", "replay_too_long"),
    )
    async def replay(self, endpoint_id: UUID, data: Replay, caller: Caller, resources: Resources) -> ReplayedOut:
        """Events that are kept and that it wants, also those of before it was made: the same ids, the same bodies."""
        async with resources.sessions.begin() as session:
            events = await webhook_deliveries.replay(
                session,
                endpoint_id,
                resources.settings.event_source,
                begin=data.begin,
                end=data.end,
                most=MOST_REPLAYED,
            )
            words = f"{endpoint_id}: {data.begin.isoformat()} to {data.end.isoformat()}, {events} events"
            await audit_log.note(session, caller.name, "webhook.replay", words=words)
        return ReplayedOut(events=events)

    @get(
        "/{endpoint_id:uuid}/deliveries",
        permission=Permission.WEBHOOKS_READ,
        summary="See what an endpoint was sent",
        responses=refuses(*DENIED, "not_found"),
    )
    async def list_deliveries(
        self,
        endpoint_id: UUID,
        resources: Resources,
        limit: Limit,
        cursor: Cursor,
        status: DeliveryStatus | None = None,
        event_type: Annotated[str | None, Parameter(max_length=100)] = None,
        order_id: Annotated[UUID | None, Parameter(description="Only events of this order")] = None,
    ) -> DeliveryPage:
        """What was first asked for last comes first."""
        async with resources.autocommit() as session:
            await webhooks.endpoint(session, endpoint_id)
            rows = await webhook_deliveries.page(
                session,
                endpoint_id,
                limit=limit + 1,
                before=id_in_cursor(cursor),
                status=status,
                event_type=event_type,
                key=str(order_id) if order_id else None,
            )
        more = cursor_behind(rows, limit, itemgetter("id"))
        return DeliveryPage.model_validate({"items": rows[:limit], "next_cursor": more})


class WebhookDeliveryController(Controller):
    path = "/v1/admin/webhook-deliveries"
    tags = ("Webhooks",)
    cache_control = CacheControlHeader(no_store=True)

    @get(
        "/{delivery_id:uuid}",
        permission=Permission.WEBHOOKS_READ,
        summary="See a delivery and its attempts",
        responses=refuses(*DENIED, "not_found"),
    )
    async def show(self, delivery_id: UUID, resources: Resources) -> DeliveryDetails:
        """With the event as it was sent, and what each attempt was answered."""
        async with resources.autocommit() as session:
            found = await webhook_deliveries.delivery(session, delivery_id)
        return DeliveryDetails.model_validate({**found, "event": json.loads(found["body"])})

    @post(
        "/{delivery_id:uuid}/redeliver",
        status_code=202,
        permission=Permission.WEBHOOKS_WRITE,
        summary="Send a delivery again",
        responses=refuses(*DENIED, "not_found", "webhook_endpoint_disabled"),
    )
    async def redeliver(self, delivery_id: UUID, caller: Caller, resources: Resources) -> AskedOut:
        """The same id and body; asking twice while it waits is asking once."""
        async with resources.sessions.begin() as session:
            await webhook_deliveries.redeliver(session, delivery_id)
            await audit_log.note(session, caller.name, "webhook.redeliver", words=str(delivery_id))
        return AskedOut(delivery_id=delivery_id)


async def must_be_allowed(resources: Resources, url: str) -> None:
    try:
        await resources.postman.target(url)
    except ForbiddenTargetError as forbidden:
        raise unacceptable("/url", str(forbidden)) from None


def endpoint_out(row: WebhookEndpoint) -> EndpointOut:
    return EndpointOut.model_validate({name: getattr(row, name) for name in EndpointOut.model_fields})
