"""From a row that anybody may have asked for to an account whose e-mail address is verified."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from tests.replay.yesterday.domain.customers import AccountState, Customer, RegisterCustomer, RegistrationOutcome
from tests.replay.yesterday.domain.notifications import MailOutcome
from tests.replay.yesterday.workflows.steps import customers, notifications
from tests.replay.yesterday.workflows.steps.step import Step

PAUSES_WHILE_THE_ROW_IS_NOT_THERE = (0.25, 0.5, 1, 2, 4, 8, 16)
"""Seconds. The API starts this workflow before it commits the row, and Postgres ends its transaction well before
these are over: see ``db.customers.register``."""


@workflow.defn
class Registration:
    """Mail a link, wait for it to be followed, remind once, and free the e-mail and username of whoever never came.

    The database decides between a verification and an expiry that meet: the row is activated or deleted, once.
    """

    @workflow.init
    def __init__(self, request: RegisterCustomer) -> None:
        self._customer = Customer(user_id=request.user_id)
        self._account = AccountState.PENDING

    @workflow.run
    async def run(self, request: RegisterCustomer) -> RegistrationOutcome:
        remind_at = workflow.now() + timedelta(seconds=request.reminder_after_seconds)
        expire_at = workflow.now() + timedelta(seconds=request.expires_after_seconds)

        if not await self._account_was_made():
            return RegistrationOutcome.NEVER_MADE

        await self._mail(notifications.verification)
        if not await self._is_verified_by(remind_at, "until the reminder"):
            await self._mail(notifications.reminder)
        if not await self._is_verified_by(expire_at, "until the account expires"):
            self._account = await customers.expire(self._customer)

        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._outcome()

    async def _account_was_made(self) -> bool:
        workflow.set_current_details("Waits for the request that started it to commit the account.")
        for pause in PAUSES_WHILE_THE_ROW_IS_NOT_THERE:
            if await customers.look_up(self._customer) is not AccountState.GONE:
                return True
            await workflow.sleep(pause, summary="until the account is committed")
        return await customers.look_up(self._customer) is not AccountState.GONE

    async def _mail(self, letter: Step[Customer, MailOutcome]) -> None:
        """A mail that cannot be sent for a day is a pity; the account waits for its verification all the same."""
        workflow.set_current_details(f"Sends a mail ({letter.name}).")
        try:
            await letter(self._customer)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.error("%s could not be sent for a day", letter.name)

    async def _is_verified_by(self, deadline: datetime, waiting_for: str) -> bool:
        workflow.set_current_details(f"Waits for the mailed link to be followed, until {deadline:%d %b %H:%M} UTC.")
        try:
            await workflow.wait_condition(
                lambda: self._account is AccountState.ACTIVE,
                timeout=max(deadline - workflow.now(), timedelta(0)),
                timeout_summary=waiting_for,
            )
        except TimeoutError:
            return False
        return True

    def _outcome(self) -> RegistrationOutcome:
        if self._account is AccountState.ACTIVE:
            workflow.set_current_details("Verified.")
            return RegistrationOutcome.VERIFIED
        workflow.set_current_details("Never verified; e-mail and username are free again.")
        return RegistrationOutcome.EXPIRED

    @workflow.update(description="The mailed link was followed")
    async def verify(self) -> AccountState:
        found = await customers.activate(self._customer)
        if found is AccountState.ACTIVE:
            self._account = found
        return found

    @verify.validator
    def _is_not_too_late(self) -> None:
        if self._account is AccountState.GONE:
            raise ApplicationError("The account has expired.", type="token_expired", non_retryable=True)
