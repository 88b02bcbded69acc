"""Links that are mailed to be followed once: begun with the wish, and told when somebody has followed one."""

import asyncio
from uuid import UUID

import structlog
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError

from domain.confirmations import AskForConfirmation
from domain.errors import Refusal
from runtime.resources import Resources
from workflows.confirmation import Confirmation
from workflows.names import CUSTOMER_ID, Queue, confirmation_id

log = structlog.get_logger()

ENGINE_ANSWERS_WITHIN = 5.0


async def begin_confirmation(
    resources: Resources, request: AskForConfirmation, *, summary: str, user_id: UUID | None
) -> None:
    """Call it after the commit of the wish; refuses ``unavailable`` when the engine does not take it in time."""
    about = [SearchAttributePair(CUSTOMER_ID, str(user_id))] if user_id else []
    try:
        async with asyncio.timeout(ENGINE_ANSWERS_WITHIN):
            await resources.temporal.start_workflow(
                Confirmation.run,
                request,
                id=confirmation_id(request.confirmation_id),
                task_queue=Queue.REGISTRATION,
                static_summary=summary,
                search_attributes=TypedSearchAttributes(about),
            )
    except (RPCError, RuntimeError, TimeoutError) as error:  # a first connection fails with a RuntimeError
        log.warning("confirmation_not_started", error=type(error).__name__)
        raise Refusal("unavailable", "No mail can be sent at this moment; try again.") from None


async def tell_answered(resources: Resources, confirmation: UUID) -> None:
    """A hint, after the commit: without it the story rests until its deadline, and then finds what Postgres has."""
    story = resources.temporal.get_workflow_handle_for(Confirmation.run, confirmation_id(confirmation))
    try:
        async with asyncio.timeout(ENGINE_ANSWERS_WITHIN):
            await story.signal(Confirmation.answered)
    except (RPCError, RuntimeError, TimeoutError) as error:
        log.warning("confirmation_not_told", error=type(error).__name__)
