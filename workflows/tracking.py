"""A parcel that has left: whoever carries it is asked to tell how far it is."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from domain.carriers import Following, FollowParcel, LeaveParcel, ParcelFollowed
from workflows import names
from workflows.apart import about_order, begun_apart
from workflows.steps import carriers


@workflow.defn
class Tracking:
    """Ask for a day. Nothing waits for it: a parcel that nobody tells of is noted, and late like any other."""

    @workflow.run
    async def run(self, request: FollowParcel) -> Following:
        workflow.set_current_details(f"Asks to be told of a parcel of order {request.order_number}.")
        followed = await self._followed(request)
        if followed.outcome in (Following.REFUSED, Following.UNANSWERED):
            await carriers.leave(
                LeaveParcel(order_id=request.order_id, fulfillment_id=request.fulfillment_id, why=followed.outcome)
            )
        workflow.set_current_details(f"A parcel of order {request.order_number}: {followed.outcome}.")
        return followed.outcome

    async def _followed(self, request: FollowParcel) -> ParcelFollowed:
        try:
            return await carriers.follow(request)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return ParcelFollowed(outcome=Following.UNANSWERED)


async def begin_tracking(request: FollowParcel) -> None:
    """Have the carrier asked by a story of its own, which the order does not wait for; content when it has begun."""
    await begun_apart(
        Tracking.run,
        request,
        workflow_id=names.tracking_id(request.fulfillment_id),
        queue=names.Queue.FULFILLMENT,
        about=about_order(request.order_id, request.order_number),
        summary=f"A parcel of order {request.order_number}",
    )
