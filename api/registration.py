"""From a form to an account whose e-mail address is confirmed."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from litestar import Controller, post
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from api.conditional import AcceptLanguage
from api.credentials import NOT_STORED, AccountOut, Credentials, MailedToken, NewPassword, Username, hash_of_new
from api.errors import refuses
from api.schemas import Email
from db import claims, customers
from domain.customers import AccountState, AccountStatus, RegisterCustomer
from domain.errors import Refusal, unacceptable
from domain.permissions import Permission
from runtime.resources import Resources
from runtime.tokens import ForgedTokenError
from workflows.names import CUSTOMER_ID, Queue, registration_id
from workflows.registration import Registration

log = structlog.get_logger()

ENGINE_ANSWERS_WITHIN = 5.0
"""Well below the time after which Postgres ends the transaction that waits for it: see ``db.customers.register``."""

WORKER_ANSWERS_WITHIN = 10.0

WORKFLOW_TASK_TIMEOUT = timedelta(seconds=5)
"""A worker that is killed while it verifies somebody is noticed within the time that this person waits."""

VERIFY: Any = Registration.verify  # the SDK's types do not know updates that take nothing


class NewAccount(Credentials):
    username: Username
    email: Email
    password: NewPassword


class RegistrationController(Controller):
    path = "/v1/auth"
    tags = ("Identity",)
    cache_control = NOT_STORED

    @post(
        "/register",
        permission=Permission.SIGN_IN,
        status_code=202,
        summary="Register",
        responses=refuses("email_taken", "username_taken"),
    )
    async def register(self, data: NewAccount, resources: Resources, accept_language: AcceptLanguage) -> AccountOut:
        """Makes an account that waits for its e-mail address to be confirmed, and mails a link to it.

        Mails to it are in the best of the shop's languages for `Accept-Language`.

        Without a confirmation it expires, and its e-mail and username are free again.
        """
        password_hash = await hash_of_new(resources, data.password, data.username, data.email)
        async with resources.sessions.begin() as session:
            user = await customers.register(
                session,
                username=data.username,
                email=data.email,
                password_hash=password_hash,
                language=resources.settings.shop.spoken.negotiated(accept_language),
            )
            # Started before the commit: an account never exists without somebody to look after it. A workflow
            # whose account was not committed after all notices, and ends.
            await start_registration(resources, user.id)
        return AccountOut(user_id=user.id, status=AccountStatus.PENDING_VERIFICATION)

    @post(
        "/verify-email",
        permission=Permission.SIGN_IN,
        status_code=200,
        summary="Confirm the e-mail address",
        responses=refuses("token_expired"),
    )
    async def verify_email(self, data: MailedToken, resources: Resources) -> AccountOut:
        """Makes the account active. Good for more than one click: the second answers as the first."""
        try:
            user_id = resources.tokens.read_verification(data.token)
        except ForgedTokenError:
            raise unacceptable("/token", "This is not a token that we have mailed.") from None
        if await verified(resources, user_id) is not AccountState.ACTIVE:
            raise Refusal("token_expired", "The account has expired; register again.")
        return AccountOut(user_id=user_id, status=AccountStatus.ACTIVE)


async def start_registration(resources: Resources, user_id: UUID) -> None:
    """Refuses ``unavailable`` when the engine does not take it in time."""
    auth = resources.settings.auth
    try:
        async with asyncio.timeout(ENGINE_ANSWERS_WITHIN):
            await resources.temporal.start_workflow(
                Registration.run,
                RegisterCustomer(
                    user_id=user_id,
                    reminder_after_seconds=auth.reminder_hours * 3600,
                    expires_after_seconds=auth.verification_hours * 3600,
                ),
                id=registration_id(user_id),
                task_queue=Queue.REGISTRATION,
                task_timeout=WORKFLOW_TASK_TIMEOUT,
                static_summary=f"New account, to be verified within {auth.verification_hours} hours",
                search_attributes=TypedSearchAttributes([SearchAttributePair(CUSTOMER_ID, str(user_id))]),
            )
    except (RPCError, RuntimeError, TimeoutError) as error:  # a first connection fails with a RuntimeError
        log.warning("registration_not_started", error=type(error).__name__)
        raise Refusal("unavailable", "Accounts cannot be made at this moment; try again.") from None


async def verified(resources: Resources, user_id: UUID) -> AccountState:
    """Let the registration activate its account; the row has the word before it has begun and after it has ended."""
    async with resources.sessions() as session:
        found = await customers.state_of(session, user_id)
    if found is not AccountState.PENDING:
        return found
    registration = resources.temporal.get_workflow_handle_for(Registration.run, registration_id(user_id))
    try:
        async with asyncio.timeout(WORKER_ANSWERS_WITHIN):
            return AccountState(await registration.execute_update(VERIFY, id="verify"))
    except WorkflowUpdateFailedError:
        pass  # it expires at this very moment
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    except (WorkflowUpdateRPCTimeoutOrCancelledError, RuntimeError, TimeoutError):
        raise Refusal("unavailable", "This takes longer than usual; follow the link again.") from None
    async with resources.sessions.begin() as session:
        state = await customers.activate(session, user_id)
        await claims.claim_guest_orders(session, user_id)
        return state
