"""The books beside the engine: what should have a workflow and has none, and the other way round."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.story_laws import KINDS, OF_ORDERS, STORY_LAWS, Kind, words_of
from db.engine import Sessions
from db.laws import MOST
from domain.audit import Breach, Law, Repair
from workflows import names

STORIES_OF_A_PAGE = 1000
RUNNING = f"ExecutionStatus = 'Running' AND WorkflowType IN {(*OF_ORDERS, *KINDS)}"
ROWS_AT_A_TIME = 500
BEFORE_ALL = UUID(int=0)


@dataclass(frozen=True)
class Wanted:
    """A row that must have a workflow, as the breach that it is when it has none."""

    breach: Breach
    stories: tuple[str, ...]
    """The ids of workflows of which one must run."""


class StoryBook:
    """The engine's list is a second behind, so whatever it seems to lack is asked for by name."""

    def __init__(self, sessions: Sessions, engine: Client) -> None:
        self._sessions = sessions
        self._engine = engine

    async def look(self, *, patience_seconds: float) -> AsyncIterator[list[Breach]]:
        """What seems wrong, a piece of the lists at a time; of one law about as much as of those of tables."""
        running = {
            run.id: run.start_time async for run in self._engine.list_workflows(RUNNING, page_size=STORIES_OF_A_PAGE)
        }
        for law in STORY_LAWS:
            after: UUID | None = BEFORE_ALL
            told = 0
            while after is not None and told < MOST:
                rows = await self._rows(law, patience_seconds, after=after)
                absent = [row for row in rows if running.keys().isdisjoint(row.stories)]
                found = [row.breach for row in absent if not await self._has_a_story(row)]
                yield found
                told += len(found)
                after = UUID(rows[-1].breach.subject) if rows else None
        for stories in _pieces(name for name in running if name.startswith(names.ORDER)):
            yield await self._without_an_order(stories, patience_seconds)
        old_enough = datetime.now(UTC) - timedelta(seconds=patience_seconds)
        grown_up = [name for name, begun in running.items() if begun <= old_enough]  # others' rows may be on their way
        for kind in KINDS.values():
            for stories in _pieces(name for name in grown_up if name.startswith(kind.prefix)):
                yield await self._without_a_row(kind, stories, patience_seconds)

    async def look_again(self, suspects: Sequence[Breach]) -> list[Breach]:
        found: list[Breach] = []
        for law in STORY_LAWS:
            subjects = [UUID(breach.subject) for breach in suspects if breach.law is law]
            rows = await self._rows(law, 0, only=subjects) if subjects else []
            found += [row.breach for row in rows if not await self._has_a_story(row)]
        for breach in await self._left_behind(suspects):
            story = await self._described(breach.subject)
            if story is not None and is_running(story) and not is_busy(story):
                found.append(breach)
        return found

    async def _left_behind(self, suspects: Sequence[Breach]) -> list[Breach]:
        stories = [breach.subject for breach in suspects if breach.law is Law.STORIES_HAVE_AN_ORDER]
        found = await self._without_an_order(stories, 0)
        stories = [breach.subject for breach in suspects if breach.law is Law.STORIES_HAVE_A_ROW]
        for kind in KINDS.values():
            found += await self._without_a_row(kind, [name for name in stories if name.startswith(kind.prefix)], 0)
        return found

    async def is_in_hand(self, order_id: UUID) -> bool:
        """Is the order's workflow in the middle of something, which may put right what seems wrong?"""
        story = await self._described(names.order_id(order_id))
        return story is not None and is_running(story) and is_busy(story)

    async def is_told(self, order_id: UUID) -> bool:
        """Does the order have a workflow that runs?"""
        story = await self._described(names.order_id(order_id))
        return story is not None and is_running(story)

    async def end(self, workflow_id: str, *, why: str) -> None:
        """End a workflow that has nothing left to do; content when it has ended."""
        try:
            await self._engine.get_workflow_handle(workflow_id).terminate(reason=why)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def _has_a_story(self, wanted: Wanted) -> bool:
        for name in wanted.stories:
            story = await self._described(name)
            if story is not None and is_running(story):
                return True
        return False

    async def _described(self, workflow_id: str) -> WorkflowExecutionDescription | None:
        try:
            return await self._engine.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def _rows(
        self, law: Law, patience: float, *, after: UUID = BEFORE_ALL, only: Sequence[UUID] | None = None
    ) -> list[Wanted]:
        told = STORY_LAWS[law]
        query = f"""
            SELECT * FROM ({told.query}) AS wanted
            WHERE id > :after AND (CAST(:only AS uuid[]) IS NULL OR id = ANY(CAST(:only AS uuid[])))
            ORDER BY id LIMIT {ROWS_AT_A_TIME}
        """  # noqa: S608 (constant text)
        async with self._sessions() as session:
            found = await session.execute(text(query), {"patience": patience, "after": after, "only": only})
            return [
                Wanted(
                    Breach(
                        law=law,
                        subject=str(row["id"]),
                        words=told.sentence.format(**row),
                        order_id=row["order_id"],
                        repair=told.repair,
                    ),
                    told.stories(row),
                )
                for row in found.mappings()
            ]

    async def _without_an_order(self, stories: Sequence[str], patience: float) -> list[Breach]:
        """Workflows of orders that are over, or that there are not."""
        ids = [names.row_of(names.ORDER, name) for name in stories]
        async with self._sessions() as session:
            found = (await session.execute(WITHOUT_AN_ORDER, {"ids": ids, "patience": patience})).all()
        return [
            Breach(
                law=Law.STORIES_HAVE_AN_ORDER,
                subject=names.order_id(row.id),
                words=f"a workflow runs for order S-{row.number}, which is {row.status}"
                if row.number
                else f"a workflow runs for order {row.id}, which there is not",
                order_id=row.id if row.number else None,
                repair=None if row.is_wished else Repair.END_STORY,
            )
            for row in found
        ]

    async def _without_a_row(self, kind: Kind, stories: Sequence[str], patience: float) -> list[Breach]:
        """Workflows of rows that are over, or that there are not."""
        by_row = {names.row_of(kind.prefix, name): name for name in stories}
        query = f"""
            SELECT wanted.id, known.order_id, known.status, known.id IS NOT NULL AS is_known
            FROM unnest(CAST(:ids AS uuid[])) AS wanted (id) LEFT JOIN ({kind.rows}) AS known ON known.id = wanted.id
            WHERE known.id IS NULL OR (known.is_over AND known.since <= now() - make_interval(secs => :patience))
        """  # noqa: S608 (constant text)
        async with self._sessions() as session:
            found = (await session.execute(text(query), {"ids": list(by_row), "patience": patience})).all()
        return [
            Breach(
                law=Law.STORIES_HAVE_A_ROW,
                subject=by_row[row.id],
                words=words_of(kind, row),
                order_id=row.order_id,
                repair=Repair.END_STORY,
            )
            for row in found
        ]


def _pieces(stories: Iterable[str]) -> Iterator[list[str]]:
    known = sorted(stories)
    for begin in range(0, len(known), ROWS_AT_A_TIME):
        yield known[begin : begin + ROWS_AT_A_TIME]


WITHOUT_AN_ORDER = text(
    """
    SELECT wanted.id, orders.number, orders.status,
           orders.id IS NULL AND NOT coalesce(checkouts.is_refused, true) AS is_wished
    FROM unnest(CAST(:ids AS uuid[])) AS wanted (id)
    LEFT JOIN orders ON orders.id = wanted.id LEFT JOIN checkouts ON checkouts.order_id = wanted.id
    WHERE (orders.status IN ('delivered', 'cancelled')
           AND NOT EXISTS (
               SELECT FROM payments WHERE payments.order_id = orders.id
                 AND orders.status = 'delivered' AND payments.due_at IS NOT NULL AND payments.status = 'pending'
           )
           AND orders.updated_at <= now() - make_interval(secs => :patience))
       OR (orders.id IS NULL AND coalesce(checkouts.is_refused, true)
           AND coalesce(checkouts.created_at, '-infinity') <= now() - make_interval(secs => :patience))
       OR (orders.id IS NULL AND checkouts.created_at < now() - interval '45 minutes')
    """
)


def is_running(story: WorkflowExecutionDescription) -> bool:
    return story.status is WorkflowExecutionStatus.RUNNING


def is_busy(story: WorkflowExecutionDescription) -> bool:
    """Something of it is being done at this moment."""
    raw = story.raw_description
    return bool(raw.pending_activities) or raw.HasField("pending_workflow_task")
