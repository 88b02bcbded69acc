"""How a story has another one begun that outlives it, and what is told of a story to whoever searches."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from workflows import names

NEEDS_NOBODY = SearchAttributePair(names.NEEDS_ATTENTION, False)


def about_order(order: UUID, number: str, *further: SearchAttributePair[Any]) -> TypedSearchAttributes:
    """What a story of an order is found by."""
    return TypedSearchAttributes(
        [SearchAttributePair(names.ORDER_ID, str(order)), SearchAttributePair(names.ORDER_NUMBER, number), *further]
    )


async def begun_apart(
    story: Any,
    request: Any,
    *,
    workflow_id: str,
    queue: names.Queue,
    about: TypedSearchAttributes,
    summary: str | None = None,
    is_told_once: bool = True,
) -> None:
    """Have the story begun, and do not wait for it; content when it runs, or was told before if it is told once."""
    policy = WorkflowIDReusePolicy.REJECT_DUPLICATE if is_told_once else WorkflowIDReusePolicy.ALLOW_DUPLICATE
    with suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            story,
            args=[] if request is None else [request],
            id=workflow_id,
            task_queue=queue,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=policy,
            static_summary=summary,
            search_attributes=about,
        )
