"""A new password for somebody who has forgotten theirs, by a link to their mailbox."""

from datetime import timedelta
from typing import Annotated, Literal

from litestar import Controller, post
from pydantic import Field

from api.confirmations import begin_confirmation, tell_answered
from api.credentials import NOT_STORED, AccountOut, Credentials, MailedToken, NewPassword, hash_of_new
from api.errors import refuses
from api.schemas import Output
from db import confirmations, customers, mailbox, sessions
from domain.confirmations import AskForConfirmation, Purpose
from domain.customers import AccountStatus
from domain.notifications import Occasion
from domain.permissions import Permission
from runtime.resources import Resources


class ForgottenPassword(Credentials):
    email: Annotated[str, Field(max_length=320)]


class ResetAskedOut(Output):
    status: Literal["accepted"] = "accepted"


class ChosenPassword(MailedToken, Credentials):
    password: NewPassword


class PasswordResetController(Controller):
    path = "/v1/auth/password-reset"
    tags = ("Identity",)
    cache_control = NOT_STORED

    @post(permission=Permission.SIGN_IN, status_code=202, summary="Ask for a new password", responses=refuses())
    async def ask(self, data: ForgottenPassword, resources: Resources) -> ResetAskedOut:
        """Mails a link to choose a new password, if there is an account with this address.

        The answer, and the time it takes, do not tell whether there is one.
        """
        lasts = timedelta(minutes=resources.settings.auth.reset_minutes)
        async with resources.sessions.begin() as session:
            asked = await confirmations.ask_for_reset(session, data.email.strip(), lasts=lasts)
        await begin_confirmation(
            resources,
            AskForConfirmation(
                confirmation_id=asked.confirmation_id,
                letters=[Occasion.PASSWORD_RESET],
                expires_after_seconds=int(lasts.total_seconds()),
            ),
            summary="A new password for somebody who has forgotten theirs",
            user_id=asked.user_id,
        )
        return ResetAskedOut()

    @post(
        "/confirm",
        permission=Permission.SIGN_IN,
        status_code=200,
        summary="Choose a new password",
        responses=refuses("token_expired"),
    )
    async def confirm(self, data: ChosenPassword, resources: Resources) -> AccountOut:
        """Changes the password and ends all sessions of the account. The mailed link works once."""
        async with resources.sessions() as session:
            link = await confirmations.followed(session, Purpose.PASSWORD_RESET, data.token)
        password_hash = await hash_of_new(resources, data.password, link.username, link.email)
        async with resources.sessions.begin() as session:
            await confirmations.use(session, link.confirmation_id)
            await confirmations.end_open(session, link.user_id)
            await customers.change_password(session, link.user_id, password_hash)
            ended = await sessions.end_all(session, link.user_id)
            await mailbox.ask_for(session, Occasion.PASSWORD_CHANGED, link.user_id, occasion_of=link.confirmation_id)
        await resources.deny_list.add(*ended)
        await resources.guesses.forgive(link.email)
        await tell_answered(resources, link.confirmation_id)
        return AccountOut(user_id=link.user_id, status=AccountStatus.ACTIVE)
