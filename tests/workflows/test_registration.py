"""From a row to a verified account, or to nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.failures import FailureTranslation
from domain.customers import AccountState, Customer, RegisterCustomer, RegistrationOutcome
from domain.notifications import MailOutcome
from workers.run import workflow_runner
from workflows.names import registration_id
from workflows.registration import Registration
from workflows.steps import customers, notifications

HOUR = timedelta(hours=1)
Running = WorkflowHandle[Registration, RegistrationOutcome]


@dataclass
class World:
    """Accounts and letters as the steps see them; a test says how they behave and reads what they did."""

    time_skipping: WorkflowEnvironment
    state: AccountState = AccountState.PENDING
    looks_until_it_is_there: int = 0
    mail_is_down: bool = False
    verified_just_before_it_expires: bool = False
    looks: int = 0
    happened: list[tuple[str, datetime]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.happened]

    async def _note(self, name: str) -> None:
        self.happened.append((name, await self.time_skipping.get_current_time()))

    @customers.look_up.performed_by
    async def look_up(self, customer: Customer) -> AccountState:
        self.looks += 1
        return AccountState.GONE if self.looks <= self.looks_until_it_is_there else self.state

    @customers.activate.performed_by
    async def activate(self, customer: Customer) -> AccountState:
        await self._note("activated")
        if self.state is AccountState.PENDING:
            self.state = AccountState.ACTIVE
        return self.state

    @customers.expire.performed_by
    async def expire(self, customer: Customer) -> AccountState:
        await self._note("expired")
        if self.verified_just_before_it_expires:
            self.state = AccountState.ACTIVE
        if self.state is AccountState.PENDING:
            self.state = AccountState.GONE
        return self.state

    @notifications.verification.performed_by
    async def verification(self, customer: Customer) -> MailOutcome:
        return await self._mail("verification")

    @notifications.reminder.performed_by
    async def reminder(self, customer: Customer) -> MailOutcome:
        return await self._mail("reminder")

    async def _mail(self, letter: str) -> MailOutcome:
        if self.mail_is_down:
            raise ApplicationError("the mail server is away")
        await self._note(letter)
        return MailOutcome.SENT


@pytest.fixture
def world(time_skipping: WorkflowEnvironment) -> World:
    return World(time_skipping)


@asynccontextmanager
async def registering(world: World, user_id: UUID | None = None) -> AsyncIterator[Running]:
    """A registration that runs, with a reminder after 24 hours and an expiry after 72."""
    user_id, queue = user_id or uuid4(), f"registration-{uuid4()}"
    async with Worker(
        world.time_skipping.client,
        task_queue=queue,
        workflows=[Registration],
        activities=[world.look_up, world.activate, world.expire, world.verification, world.reminder],
        interceptors=[FailureTranslation()],
        workflow_runner=workflow_runner(sandboxed=True),
    ):
        yield await world.time_skipping.client.start_workflow(
            Registration.run,
            RegisterCustomer(user_id=user_id, reminder_after_seconds=24 * 3600, expires_after_seconds=72 * 3600),
            id=registration_id(user_id),
            task_queue=queue,
        )


async def verify(registration: Running) -> AccountState:
    return AccountState(await registration.execute_update("verify", id="verify"))


async def begin_of(registration: Running) -> datetime:
    return (await registration.describe()).start_time


async def test_whoever_follows_the_link_has_an_account_and_gets_no_further_mail(world: World) -> None:
    async with registering(world) as registration:
        assert await verify(registration) is AccountState.ACTIVE
        assert await registration.result() is RegistrationOutcome.VERIFIED

    assert world.names.count("verification") == 1
    assert "reminder" not in world.names
    assert "expired" not in world.names
    assert world.state is AccountState.ACTIVE


async def test_a_reminder_goes_out_after_24_hours_and_the_account_expires_after_72(world: World) -> None:
    async with registering(world) as registration:
        began = await begin_of(registration)
        assert await registration.result() is RegistrationOutcome.EXPIRED

    assert world.names == ["verification", "reminder", "expired"]
    after = {name: at - began for name, at in world.happened}
    assert after["verification"] < timedelta(minutes=1)
    assert 24 * HOUR <= after["reminder"] < 24 * HOUR + timedelta(minutes=1)
    assert 72 * HOUR <= after["expired"] < 72 * HOUR + timedelta(minutes=1)
    assert world.state is AccountState.GONE


async def test_the_link_still_works_after_the_reminder(world: World) -> None:
    async with registering(world) as registration:
        await world.time_skipping.sleep(30 * HOUR)
        assert await verify(registration) is AccountState.ACTIVE
        assert await registration.result() is RegistrationOutcome.VERIFIED

    assert world.names == ["verification", "reminder", "activated"]


async def test_the_link_followed_twice_activates_once_and_answers_the_same(world: World) -> None:
    async with registering(world) as registration:
        first, second = await verify(registration), await verify(registration)
        await registration.result()

    assert first is second is AccountState.ACTIVE
    assert world.names.count("activated") == 1


async def test_a_registration_whose_row_was_never_committed_ends_without_a_mail(world: World) -> None:
    world.looks_until_it_is_there = 1000
    async with registering(world) as registration:
        assert await registration.result() is RegistrationOutcome.NEVER_MADE
        ended = await registration.describe()

    assert world.happened == []
    assert ended.close_time is not None
    assert timedelta(seconds=30) <= ended.close_time - ended.start_time < timedelta(minutes=1)


async def test_a_row_that_is_committed_a_little_later_is_waited_for(world: World) -> None:
    world.looks_until_it_is_there = 3
    async with registering(world) as registration:
        assert await verify(registration) is AccountState.ACTIVE
        assert await registration.result() is RegistrationOutcome.VERIFIED

    assert "verification" in world.names


async def test_a_mail_server_that_is_away_for_days_does_not_end_the_registration(world: World) -> None:
    world.mail_is_down = True
    async with registering(world) as registration:
        began = await begin_of(registration)
        assert await registration.result() is RegistrationOutcome.EXPIRED

    assert world.names == ["expired"]
    assert 72 * HOUR <= world.happened[0][1] - began < 73 * HOUR
    assert world.state is AccountState.GONE


async def test_an_account_that_is_verified_in_the_moment_it_expires_stays(world: World) -> None:
    world.verified_just_before_it_expires = True
    async with registering(world) as registration:
        assert await registration.result() is RegistrationOutcome.VERIFIED

    assert world.state is AccountState.ACTIVE


async def test_a_link_followed_after_the_row_is_gone_does_not_bring_it_back(world: World) -> None:
    async with registering(world) as registration:
        await world.time_skipping.sleep(HOUR)
        world.state = AccountState.GONE
        assert await verify(registration) is AccountState.GONE
        assert await registration.result() is RegistrationOutcome.EXPIRED

    assert world.state is AccountState.GONE
