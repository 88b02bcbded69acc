"""Import steps: chunks of files that staff sent, and what is kept of them."""

import time
from dataclasses import replace
from datetime import timedelta

from activities.heartbeats import heard_of
from db import exports, import_chunks, imports
from db.engine import Sessions
from domain.imports import ImportProgress, ReadChunk, Tidied, TidyUp
from workflows.steps import imports as steps


class ImportActivities:
    def __init__(self, sessions: Sessions, *, chunk_rows: int) -> None:
        self._sessions = sessions
        self._chunk_rows = chunk_rows

    @steps.read_chunk.performed_by
    async def read_chunk(self, request: ReadChunk) -> ImportProgress:
        """Each chunk is a transaction: others who change products come in between, and nothing is read twice."""
        ends_at = time.monotonic() + request.turn_seconds
        async with heard_of():
            while not (progress := await self._read(request)).is_over and time.monotonic() < ends_at:
                request = replace(request, number=progress.chunks)
        return progress

    async def _read(self, request: ReadChunk) -> ImportProgress:
        async with self._sessions.begin() as session:
            return await import_chunks.read(session, request, most_rows=self._chunk_rows)

    @steps.tidy_up.performed_by
    async def tidy_up(self, request: TidyUp) -> Tidied:
        """One transaction for each import, because a file may be large."""
        older_than = timedelta(seconds=request.older_than_seconds)
        async with heard_of():
            async with self._sessions() as session:
                outdated = await imports.outdated(session, older_than=older_than)
            for import_id in outdated:
                async with self._sessions.begin() as session:
                    await imports.tidy(session, import_id)
            async with self._sessions.begin() as session:
                forgotten = await exports.tidy(session, older_than=older_than)
        return Tidied(imports=len(outdated), exports=forgotten)
