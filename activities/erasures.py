"""People are forgotten."""

from db import erasures
from db.engine import Sessions
from domain.erasures import ErasePerson, ErasureState
from workflows.steps import erasures as steps


class ErasureActivities:
    """Each is one transaction that can be repeated."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @steps.look_up.performed_by
    async def look_up(self, request: ErasePerson) -> ErasureState:
        async with self._sessions() as session:
            return await erasures.state_of(session, request.erasure_id)

    @steps.erase.performed_by
    async def erase(self, request: ErasePerson) -> ErasureState:
        async with self._sessions.begin() as session:
            return await erasures.erase(session, request.erasure_id)
