"""What audits found wrong, and orders whose workflow is gone."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import get, post
from litestar.params import Parameter
from pydantic import Field

from api.auth import Caller
from api.errors import refuses
from api.operators import DENIED
from api.orders import OrderOut, visible_order
from api.paging import Cursor, Limit, encode_cursor, number_in_cursor
from api.schemas import Output
from api.stories import Stories
from db import breaches
from domain.audit import Law, Repair
from domain.errors import Refusal
from domain.orders import OrderStatus
from domain.permissions import Permission
from runtime.resources import Resources


class BreachOut(Output):
    id: int
    law: Law
    subject: str = Field(description="The row, the workflow or the provider's payment that is wrong")
    order_id: UUID | None
    words: str
    repair: Repair | None = Field(description="What `sutler audit --repair` does about it; `null`: a person decides")
    since: datetime


class BreachPage(Output):
    items: list[BreachOut]
    next_cursor: str | None


@get(
    "/v1/admin/breaches",
    permission=Permission.BREACHES_READ,
    summary="List what does not add up",
    tags=["Operators"],
    responses=refuses(*DENIED),
)
async def list_breaches(
    resources: Resources,
    limit: Limit,
    cursor: Cursor,
    law: Annotated[Law | None, Parameter(description="Only what breaks this law")] = None,
) -> BreachPage:
    """What audits found wrong and nobody has seen healed since, the oldest first."""
    after = number_in_cursor(cursor) or 0
    async with resources.autocommit() as session:
        rows = await breaches.page(session, limit=limit + 1, after=after, law=law)
    more = encode_cursor([rows[limit - 1]["id"]]) if len(rows) > limit else None
    return BreachPage.model_validate({"items": rows[:limit], "next_cursor": more})


@post(
    "/v1/admin/orders/{order_id:uuid}/resume",
    permission=Permission.ORDERS_RESOLVE,
    status_code=200,
    summary="Begin an order's workflow again",
    tags=["Operators"],
    responses=refuses(*DENIED, "not_found", "order_transition_not_allowed"),
)
async def resume_order(order_id: UUID, caller: Caller, resources: Resources, stories: Stories) -> OrderOut:
    """For an order whose workflow was terminated or lost: it goes on where it stands, never from the beginning.

    Content when its workflow runs.
    """
    order = await visible_order(resources, order_id, caller)
    if order.status in (OrderStatus.DELIVERED, OrderStatus.CANCELLED):
        raise Refusal(
            "order_transition_not_allowed",
            f"An order that is {order.status} has nothing left to do.",
            current_status=str(order.status),
            allowed=[],
        )
    await stories.resume(order_id, actor=caller.name)
    return await visible_order(resources, order_id, caller)
