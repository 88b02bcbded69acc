"""Parcel steps: each is one transaction, safe to repeat."""

from db import parcels, undelivered
from db.engine import Sessions
from domain.shipping import (
    GiveUpParcel,
    MoveParcel,
    ParcelGivenUp,
    PlannedShipment,
    PlanShipment,
    ShipmentCharge,
    ShipmentState,
    ShipParcel,
)
from workflows.steps import shipping as steps


class ShippingActivities:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

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
            return await parcels.ship(session, request)

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
