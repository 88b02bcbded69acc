"""Carrier steps: a partner is asked while nothing is locked. Numbers and addresses are read here, and not passed on."""

from db import carriers, tracking
from db.engine import Sessions
from domain.carriers import Following, FollowParcel, LeaveParcel, ParcelFollowed
from providers.carriers import Carrier
from workflows.steps import carriers as steps


class CarrierActivities:
    def __init__(self, carrier: Carrier, sessions: Sessions) -> None:
        self._carrier = carrier
        self._sessions = sessions

    @steps.follow.performed_by
    async def follow(self, request: FollowParcel) -> ParcelFollowed:
        async with self._sessions.begin() as session:
            parcel = await carriers.to_follow(session, request.fulfillment_id)
        if parcel is None or not self._carrier.tells:
            return ParcelFollowed(outcome=Following.NOT_ASKED)
        answer = await self._carrier.follow(parcel)
        return ParcelFollowed(outcome=Following.FOLLOWED if answer.is_followed else Following.REFUSED)

    @steps.leave.performed_by
    async def leave(self, request: LeaveParcel) -> ParcelFollowed:
        async with self._sessions.begin() as session:
            await tracking.leave(session, request)
        return ParcelFollowed(outcome=request.why)
