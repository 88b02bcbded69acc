"""The books beside the engine: what should have a workflow and has none, and the other way round."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from db.engine import Sessions
from domain.audit import Breach, Law, Repair
from workflows import names

RUNNING = "ExecutionStatus = 'Running' AND WorkflowType IN ('Checkout', 'Fulfillment', 'Refund', 'Return')"
ROWS_AT_A_TIME = 500
BEFORE_ALL = UUID(int=0)


@dataclass(frozen=True, kw_only=True)
class StoryLaw:
    """Rows that must have a running workflow."""

    query: str
    sentence: str
    repair: Repair
    workflow_id: Callable[[UUID], str]


STORY_LAWS: dict[Law, StoryLaw] = {
    Law.ORDERS_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT orders.id, orders.id AS order_id, orders.number, orders.status FROM orders
            WHERE orders.status IN ('pending', 'confirmed', 'shipped')
              AND orders.updated_at <= now() - make_interval(secs => :patience)
        """,
        sentence="order S-{number} is {status}, and its workflow is gone",
        repair=Repair.RESUME_ORDER,
        workflow_id=names.order_id,
    ),
    Law.REFUNDS_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT refunds.id, refunds.order_id, orders.number, refunds.status
            FROM refunds JOIN orders ON orders.id = refunds.order_id
            WHERE refunds.status = 'requested' AND refunds.created_at <= now() - make_interval(secs => :patience)
        """,
        sentence="a refund of order S-{number} is {status}, and its workflow is gone",
        repair=Repair.BEGIN_REFUND,
        workflow_id=names.refund_id,
    ),
    Law.RETURNS_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT returns.id, returns.order_id, orders.number, returns.status
            FROM returns JOIN orders ON orders.id = returns.order_id LEFT JOIN refunds ON refunds.id = returns.refund_id
            WHERE returns.updated_at <= now() - make_interval(secs => :patience)
              AND (returns.status IN ('requested', 'approved')
                   OR (returns.status = 'received' AND coalesce(refunds.status, 'succeeded') <> 'requested'))
        """,
        sentence="a return of order S-{number} is {status}, and its workflow is gone",
        repair=Repair.RESUME_RETURN,
        workflow_id=names.return_id,
    ),
}


class StoryBook:
    """The engine's list is a second behind, so whatever it seems to lack is asked for by name."""

    def __init__(self, sessions: Sessions, engine: Client) -> None:
        self._sessions = sessions
        self._engine = engine

    async def look(self, *, patience_seconds: float) -> AsyncIterator[list[Breach]]:
        """What seems wrong, a piece of the lists at a time."""
        running = {run.id async for run in self._engine.list_workflows(RUNNING, page_size=1000)}
        for law, told in STORY_LAWS.items():
            after: UUID | None = BEFORE_ALL
            while after is not None:
                rows = await self._rows(law, patience_seconds, after=after)
                absent = [row for row in rows if told.workflow_id(UUID(row.subject)) not in running]
                yield [row for row in absent if not await self._has_a_story(row)]
                after = UUID(rows[-1].subject) if rows else None
        stories = sorted(name for name in running if name.startswith(names.ORDER))
        for begin in range(0, len(stories), ROWS_AT_A_TIME):
            yield await self._without_an_order(stories[begin : begin + ROWS_AT_A_TIME], patience_seconds)

    async def look_again(self, suspects: Sequence[Breach]) -> list[Breach]:
        found: list[Breach] = []
        for law in STORY_LAWS:
            subjects = [UUID(breach.subject) for breach in suspects if breach.law is law]
            rows = await self._rows(law, 0, only=subjects) if subjects else []
            found += [row for row in rows if not await self._has_a_story(row)]
        stories = [breach.subject for breach in suspects if breach.law is Law.STORIES_HAVE_AN_ORDER]
        for breach in await self._without_an_order(stories, 0):
            story = await self._described(breach.subject)
            if story is not None and is_running(story) and not is_busy(story):
                found.append(breach)
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

    async def _has_a_story(self, breach: Breach) -> bool:
        story = await self._described(STORY_LAWS[breach.law].workflow_id(UUID(breach.subject)))
        return story is not None and is_running(story)

    async def _described(self, workflow_id: str) -> WorkflowExecutionDescription | None:
        try:
            return await self._engine.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None

    async def _rows(
        self, law: Law, patience: float, *, after: UUID = BEFORE_ALL, only: Sequence[UUID] | None = None
    ) -> list[Breach]:
        """Rows that must have a workflow, as the breaches that they are when they have none."""
        told = STORY_LAWS[law]
        query = f"""
            SELECT * FROM ({told.query}) AS wanted
            WHERE id > :after AND (CAST(:only AS uuid[]) IS NULL OR id = ANY(CAST(:only AS uuid[])))
            ORDER BY id LIMIT {ROWS_AT_A_TIME}
        """  # noqa: S608 (constant text)
        async with self._sessions() as session:
            found = await session.execute(text(query), {"patience": patience, "after": after, "only": only})
            return [
                Breach(
                    law=law,
                    subject=str(row["id"]),
                    words=told.sentence.format(**row),
                    order_id=row["order_id"],
                    repair=told.repair,
                )
                for row in found.mappings()
            ]

    async def _without_an_order(self, stories: Sequence[str], patience: float) -> list[Breach]:
        """Workflows of orders that are over, or that there are not."""
        ids = [UUID(name.removeprefix(names.ORDER)) for name in stories]
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
