"""From a mailed link to the click, or to its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.failures import FailureTranslation
from domain.confirmations import AskForConfirmation, CloseConfirmation, ConfirmationOutcome, MailLink
from domain.notifications import MailOutcome, Occasion
from workers.run import workflow_runner
from workflows.confirmation import Confirmation
from workflows.names import confirmation_id
from workflows.steps import confirmations

Running = WorkflowHandle[Confirmation, ConfirmationOutcome]


@dataclass
class World:
    """Mails and links as the steps see them; a test says how they behave and reads what they did."""

    time_skipping: WorkflowEnvironment
    outcome: ConfirmationOutcome = ConfirmationOutcome.EXPIRED
    mailed: list[Occasion] = field(default_factory=list)
    mail_outcome: MailOutcome = MailOutcome.SENT
    mail_is_down: bool = False
    closed: int = 0

    @confirmations.mail.performed_by
    async def mail(self, request: MailLink) -> MailOutcome:
        if self.mail_is_down:
            raise ApplicationError("the mail server is away")
        self.mailed.append(request.occasion)
        return self.mail_outcome

    @confirmations.close.performed_by
    async def close(self, request: CloseConfirmation) -> ConfirmationOutcome:
        self.closed += 1
        return self.outcome


@pytest.fixture
def world(time_skipping: WorkflowEnvironment) -> World:
    return World(time_skipping)


@asynccontextmanager
async def confirming(world: World) -> AsyncIterator[Running]:
    """A confirmation that runs, with an hour to answer."""
    made, queue = uuid4(), f"registration-{uuid4()}"
    async with Worker(
        world.time_skipping.client,
        task_queue=queue,
        workflows=[Confirmation],
        activities=[world.mail, world.close],
        interceptors=[FailureTranslation()],
        workflow_runner=workflow_runner(sandboxed=True),
    ):
        yield await world.time_skipping.client.start_workflow(
            Confirmation.run,
            AskForConfirmation(confirmation_id=made, letters=[Occasion.PASSWORD_RESET], expires_after_seconds=3600),
            id=confirmation_id(made),
            task_queue=queue,
        )


async def lasted(story: Running) -> timedelta:
    ended = await story.describe()
    assert ended.close_time is not None
    return ended.close_time - ended.start_time


async def test_a_link_that_is_followed_ends_the_waiting(world: World) -> None:
    world.outcome = ConfirmationOutcome.CONFIRMED
    async with confirming(world) as story:
        await story.signal(Confirmation.answered)
        assert await story.result() is ConfirmationOutcome.CONFIRMED
        assert await lasted(story) < timedelta(minutes=1)

    assert world.mailed == [Occasion.PASSWORD_RESET]
    assert world.closed == 1


async def test_a_link_that_nobody_follows_is_ended_in_time(world: World) -> None:
    async with confirming(world) as story:
        assert await story.result() is ConfirmationOutcome.EXPIRED
        assert timedelta(hours=1) <= await lasted(story) < timedelta(hours=1, minutes=1)

    assert world.closed == 1


async def test_a_click_of_which_nobody_told_is_found_at_the_end(world: World) -> None:
    world.outcome = ConfirmationOutcome.CONFIRMED
    async with confirming(world) as story:
        assert await story.result() is ConfirmationOutcome.CONFIRMED


async def test_nobody_is_waited_for_when_nobody_is_there_to_read(world: World) -> None:
    world.mail_outcome, world.outcome = MailOutcome.NOBODY_TO_SEND_TO, ConfirmationOutcome.NOBODY_ASKED
    async with confirming(world) as story:
        assert await story.result() is ConfirmationOutcome.NOBODY_ASKED
        assert await lasted(story) < timedelta(minutes=1)


async def test_a_mail_server_that_is_away_for_a_day_ends_the_wish(world: World) -> None:
    world.mail_is_down = True
    async with confirming(world) as story:
        assert await story.result() is ConfirmationOutcome.EXPIRED

    assert world.mailed == []
    assert world.closed == 1
