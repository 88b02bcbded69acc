"""From a wish that only the reader of a mailbox may have to the click that makes it come true, or to its end."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from domain.confirmations import AskForConfirmation, CloseConfirmation, ConfirmationOutcome, MailLink
from domain.notifications import MailOutcome, Occasion
from workflows.steps import confirmations


@workflow.defn
class Confirmation:
    """Mail the links, wait until somebody has answered, and end what nobody answered in time.

    The database decides what a link does and whether it still works; this story is told so that it can rest.
    """

    @workflow.init
    def __init__(self, request: AskForConfirmation) -> None:
        self._request = request
        self._is_answered = False

    @workflow.run
    async def run(self, request: AskForConfirmation) -> ConfirmationOutcome:
        expires_at = workflow.now() + timedelta(seconds=request.expires_after_seconds)
        if await self._somebody_is_there_to_answer():
            await self._wait_until(expires_at)
        outcome = await confirmations.close(CloseConfirmation(confirmation_id=request.confirmation_id))
        workflow.set_current_details(f"Ended: {outcome}.")
        return outcome

    async def _somebody_is_there_to_answer(self) -> bool:
        workflow.set_current_details("Sends the mail.")
        told = await asyncio.gather(*(self._mail(occasion) for occasion in self._request.letters))
        return any(outcome is not MailOutcome.NOBODY_TO_SEND_TO for outcome in told)

    async def _mail(self, occasion: Occasion) -> MailOutcome:
        """A mail that cannot be sent for a day is given up; its link has ended by then anyway."""
        try:
            return await confirmations.mail(MailLink(confirmation_id=self._request.confirmation_id, occasion=occasion))
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.error("the mail %s could not be sent for a day", occasion)
            return MailOutcome.GIVEN_UP

    async def _wait_until(self, deadline: datetime) -> None:
        workflow.set_current_details(f"Waits for the mailed link to be followed, until {deadline:%d %b %H:%M} UTC.")
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._is_answered,
                timeout=max(deadline - workflow.now(), timedelta(0)),
                timeout_summary="until the link expires",
            )

    @workflow.signal(description="A mailed link was followed")
    async def answered(self) -> None:
        self._is_answered = True
