"""A registration goes on where it was when the worker that carried it out dies."""

import asyncio
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from temporalio.client import Client

from db.customers import User
from db.mailbox import Letter
from domain.customers import AccountState, AccountStatus, RegisterCustomer, RegistrationOutcome
from runtime import temporal
from runtime.resources import Resources
from tests.support.engines import make_namespace
from tests.support.people import mails_to
from tests.support.processes import process
from tests.support.waiting import eventually
from workflows.names import Queue, registration_id
from workflows.registration import Registration


@pytest.fixture
async def engine(resources: Resources, workers: None) -> Client:
    """A namespace of its own, so that no other worker of this session helps out, except with the letters."""
    namespace = f"killing-{uuid4().hex[:8]}"
    await make_namespace(resources, namespace)
    return await temporal.connect(resources.settings.temporal.model_copy(update={"namespace": namespace}))


async def test_a_worker_killed_between_two_steps_loses_nothing_and_mails_once(
    engine: Client,
    resources: Resources,
    environment: dict[str, str],
    sandbox: httpx.AsyncClient,
    tmp_path: Path,
    log_file: Path,
) -> None:
    ready = tmp_path / "ready"
    settings = {**environment, "APP_TEMPORAL__NAMESPACE": engine.namespace, "APP_READY_FILE": str(ready)}
    name = f"ada.{uuid4().hex[:12]}"
    async with resources.sessions.begin() as session:
        user = User(username=name, email=f"{name}@example.com", password_hash="x")
        session.add(user)
    registration = await engine.start_workflow(
        Registration.run,
        RegisterCustomer(user_id=user.id, reminder_after_seconds=24 * 3600, expires_after_seconds=72 * 3600),
        id=registration_id(user.id),
        task_queue=Queue.REGISTRATION,
    )

    async def the_mail_is_noted() -> bool:
        async with resources.sessions() as session:
            return await session.get(Letter, f"verification:{user.id}") is not None

    with process("cli", "worker", "registration", environment=settings, ready=ready.exists, log=log_file) as worker:
        await eventually(the_mail_is_noted)
        worker.kill()
        await asyncio.to_thread(worker.wait)
    ready.unlink()
    with process("cli", "worker", "registration", environment=settings, ready=ready.exists, log=log_file):
        assert await registration.execute_update("verify", id="verify") == AccountState.ACTIVE
        assert await registration.result() is RegistrationOutcome.VERIFIED

    assert len(await mails_to(sandbox, user.email)) == 1
    async with resources.sessions() as session:
        account = await session.get(User, user.id)
        assert account
        assert account.status == AccountStatus.ACTIVE
