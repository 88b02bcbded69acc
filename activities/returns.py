"""Return steps: each is one transaction, safe to repeat."""

from db import returns
from db.engine import Sessions
from domain.returns import DecideReturn, ReceiveReturn, ReturnState, SettleReturn
from workflows.steps import returns as steps


class ReturnActivities:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @steps.decide.performed_by
    async def decide(self, request: DecideReturn) -> ReturnState:
        async with self._sessions.begin() as session:
            return await returns.decide(session, request)

    @steps.receive.performed_by
    async def receive(self, request: ReceiveReturn) -> ReturnState:
        async with self._sessions.begin() as session:
            return await returns.receive(session, request)

    @steps.settle.performed_by
    async def settle(self, request: SettleReturn) -> ReturnState:
        async with self._sessions.begin() as session:
            return await returns.settle(session, request)
