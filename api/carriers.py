"""Carriers: whose parcels customers can follow, and where."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Response, delete, get, put
from litestar.params import Parameter
from litestar.serialization import encode_json
from pydantic import Field

from api.auth import Caller
from api.catalog_schemas import Name, Text
from api.conditional import KEEP_NOTHING, IfMatch, answer, expected_versions
from api.errors import refuses
from api.operators import DENIED
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Input, Output
from api.shipping_rates import Code
from db import audit_log, carriers, tracking
from domain.permissions import Permission
from domain.tracking import Outcome, TrackingStatus
from runtime.resources import Resources


class CarrierIn(Input):
    name: Name
    tracking_url: Annotated[
        Text,
        Field(
            max_length=500,
            pattern=r"^https://[^\s{}]*\{number\}[^\s{}]*$",
            description="The carrier's page about a parcel, with `{number}` in place of its number",
            examples=["https://carrier.example/track?parcel={number}"],
        ),
    ]
    easypost_name: Annotated[
        Text | None,
        Field(
            max_length=100,
            pattern=r"^[A-Za-z0-9]+$",
            description="What EasyPost calls it; `null`, and EasyPost is not asked to tell of its parcels",
            examples=["DHLExpress"],
        ),
    ] = None


class CarrierOut(Output):
    code: str
    name: str
    tracking_url: str
    easypost_name: str | None
    version: int


class CarrierList(Output):
    items: list[CarrierOut]


class CarrierController(Controller):
    path = "/v1/admin/carriers"
    tags = ("Shipping",)

    @get(permission=Permission.SHIPPING_READ, summary="See the carriers", responses=refuses(*DENIED))
    async def list_carriers(self, resources: Resources) -> CarrierList:
        """Those whose parcels have a page that customers are sent to."""
        async with resources.autocommit() as session:
            return CarrierList.model_validate({"items": await carriers.carriers(session)})

    @put(
        "/{code:str}",
        permission=Permission.SHIPPING_WRITE,
        summary="Define a carrier",
        responses=refuses(*DENIED, "precondition_failed"),
    )
    async def define(
        self, code: Code, data: CarrierIn, caller: Caller, resources: Resources, if_match: IfMatch
    ) -> Response[CarrierOut]:
        """Parcels that name it by its code or name, also those that have left before, are followed there.

        With `If-Match`, stale → 412.
        """
        async with resources.sessions.begin() as session:
            await audit_log.note(session, caller.name, "carrier.define", words=code)
            carrier: dict[str, Any] = await carriers.put(
                session, code, data.model_dump(), expected=expected_versions(if_match)
            )
        return answer(encode_json(carrier), version=carrier["version"], cache=KEEP_NOTHING)

    @delete(
        "/{code:str}",
        permission=Permission.SHIPPING_WRITE,
        summary="Remove a carrier",
        responses=refuses(*DENIED, "not_found", "precondition_failed"),
    )
    async def remove(self, code: Code, caller: Caller, resources: Resources, if_match: IfMatch) -> None:
        """Its parcels keep their numbers, and lead nowhere."""
        async with resources.sessions.begin() as session:
            await audit_log.note(session, caller.name, "carrier.remove", words=code)
            await carriers.remove(session, code, expected=expected_versions(if_match))


class CarrierMessageOut(Output):
    id: UUID
    provider: str
    carrier: str
    tracking_number: str
    status: TrackingStatus | None = Field(description="`null`: nothing that the shop has a word for")
    at: datetime = Field(description="When the carrier noticed it")
    fulfillment_id: UUID | None = Field(description="`null` while no parcel of the shop has this number")
    received_at: datetime
    outcome: Outcome | None = Field(description="`null` while it waits for its parcel or its order")


class CarrierMessagePage(Output):
    items: list[CarrierMessageOut]
    next_cursor: str | None


@get(
    "/v1/admin/carrier-messages",
    permission=Permission.ORDERS_READ,
    summary="See what carriers have told",
    tags=["Shipping"],
    responses=refuses(*DENIED),
)
async def list_carrier_messages(
    resources: Resources,
    limit: Limit,
    cursor: Cursor,
    unknown: Annotated[bool, Parameter(description="Only what was told of parcels that nobody knows")] = False,
) -> CarrierMessagePage:
    """The newest first."""
    async with resources.autocommit() as session:
        rows = await tracking.page(session, limit=limit + 1, before=id_in_cursor(cursor), is_unknown=unknown)
    next_cursor = cursor_behind(rows, limit, lambda row: row["id"])
    return CarrierMessagePage.model_validate({"items": rows[:limit], "next_cursor": next_cursor})
