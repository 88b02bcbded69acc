"""Carts between the visits of their customers."""

from datetime import UTC, datetime

from activities.heartbeats import heard_of
from db import cart_reminders, cart_tidying
from db.engine import Sessions
from domain.cart_reminders import CartStanding, LookAtCart, ReminderRules
from domain.cart_tidying import CartsTidied, TidyCarts
from workflows.steps import carts as steps


class CartActivities:
    def __init__(self, sessions: Sessions, reminders: ReminderRules) -> None:
        self._sessions = sessions
        self._reminders = reminders

    @steps.remind.performed_by
    async def remind(self, request: LookAtCart) -> CartStanding:
        async with self._sessions.begin() as session:
            return await cart_reminders.remind(session, request, self._reminders)

    @steps.tidy.performed_by
    async def tidy(self, request: TidyCarts) -> CartsTidied:
        """One short transaction for each batch, so that nobody who shops has to wait."""
        removed, batch, now = 0, cart_tidying.BEGINNING, datetime.now(UTC)
        async with heard_of():
            while not batch.is_last:
                async with self._sessions.begin() as session:
                    batch = await cart_tidying.remove(session, request, now=now, behind=batch)
                removed += batch.carts
        return CartsTidied(carts=removed)
