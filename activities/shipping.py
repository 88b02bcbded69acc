"""Parcel steps: each is one transaction, safe to repeat."""

from dataclasses import replace

from db import carriers, order_holds, parcels, undelivered
from db.engine import Sessions
from domain.shipping import (
    GiveUpParcel,
    HoldOrder,
    MoveParcel,
    OrderHold,
    ParcelGivenUp,
    PlannedShipment,
    PlanShipment,
    ReleaseOrder,
    ShipmentCharge,
    ShipmentState,
    ShipParcel,
)
from providers.carriers import Carrier
from workflows.steps import shipping as steps


class ShippingActivities:
    def __init__(self, sessions: Sessions, carrier: Carrier) -> None:
        self._sessions = sessions
        self._carrier = carrier

    @steps.plan.performed_by
    async def plan(self, request: PlanShipment) -> PlannedShipment:
        async with self._sessions.begin() as session:
            return await parcels.plan(session, request)

    @steps.charge.performed_by
    async def charge(self, request: ShipParcel) -> ShipmentCharge:
        async with self._sessions.begin() as session:
            return await parcels.charge(session, request)

    @steps.ship.performed_by
    async def ship(self, request: ShipParcel) -> ShipmentState:
        async with self._sessions.begin() as session:
            shipped = await parcels.ship(session, request)
            to_follow = self._carrier.tells and await carriers.to_follow(session, request.fulfillment_id) is not None
            return replace(shipped, to_follow=to_follow)

    @steps.deliver.performed_by
    async def deliver(self, request: MoveParcel) -> ShipmentState:
        async with self._sessions.begin() as session:
            return await parcels.deliver(session, request)

    @steps.give_up.performed_by
    async def give_up(self, request: GiveUpParcel) -> ParcelGivenUp:
        async with self._sessions.begin() as session:
            return await undelivered.give_up(session, request)

    @steps.cancel.performed_by
    async def cancel(self, request: MoveParcel) -> ShipmentState:
        async with self._sessions.begin() as session:
            return await parcels.cancel(session, request)

    @steps.hold.performed_by
    async def hold(self, request: HoldOrder) -> OrderHold:
        async with self._sessions.begin() as session:
            return await order_holds.hold(session, request)

    @steps.release.performed_by
    async def release(self, request: ReleaseOrder) -> OrderHold:
        async with self._sessions.begin() as session:
            return await order_holds.release(session, request)
