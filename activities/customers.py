"""Accounts come alive or are forgotten."""

from db import claims, customers
from db.engine import Sessions
from domain.customers import AccountState, Customer
from workflows.steps import customers as steps


class CustomerActivities:
    """Each is one transaction that can be repeated."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @steps.look_up.performed_by
    async def look_up(self, customer: Customer) -> AccountState:
        async with self._sessions() as session:
            return await customers.state_of(session, customer.user_id)

    @steps.activate.performed_by
    async def activate(self, customer: Customer) -> AccountState:
        async with self._sessions.begin() as session:
            state = await customers.activate(session, customer.user_id)
            await claims.claim_guest_orders(session, customer.user_id)
            return state

    @steps.expire.performed_by
    async def expire(self, customer: Customer) -> AccountState:
        async with self._sessions.begin() as session:
            return await customers.expire(session, customer.user_id)
