"""A new e-mail address for an account, once both mailboxes have agreed."""

from datetime import timedelta
from typing import Annotated, Literal

from litestar import Controller, post
from pydantic import Field, SecretStr

from api.auth import Caller
from api.confirmations import begin_confirmation, tell_answered
from api.credentials import NOT_STORED, Credentials, MailedToken
from api.errors import refuses
from api.profiles import Profiles
from api.schemas import Email, Output
from api.users import checked_password, whoever
from db import claims, email_changes, sessions
from db.email_changes import Agreement
from domain.confirmations import AskForConfirmation
from domain.notifications import Occasion
from domain.permissions import Permission
from runtime.resources import Resources


class NewEmail(Credentials):
    email: Email
    current_password: Annotated[SecretStr, Field(max_length=1000)]


class EmailChangeAskedOut(Output):
    status: Literal["waiting_for_both"] = "waiting_for_both"


class EmailChangeOut(Output):
    status: Literal["waiting_for_the_other", "changed", "refused"]


class EmailChangeController(Controller):
    tags = ("Identity",)
    cache_control = NOT_STORED

    @post(
        "/v1/users/me/email",
        permission=Permission.ACCOUNT,
        status_code=202,
        summary="Change my e-mail address",
        responses=refuses("unauthenticated", "forbidden", "not_found", "email_taken", "too_many_mails"),
    )
    async def ask(self, data: NewEmail, caller: Caller, resources: Resources) -> EmailChangeAskedOut:
        """Mails a link to the old and one to the new address. The address changes once both were followed.

        Needs the current password. A newer wish takes the place of an older one.
        """
        user_id = whoever(caller)
        await checked_password(resources, caller, data.current_password)
        lasts = timedelta(hours=resources.settings.auth.email_change_hours)
        async with resources.sessions.begin() as session:
            wanted = await email_changes.ask(session, user_id, data.email, lasts=lasts)
        await begin_confirmation(
            resources,
            AskForConfirmation(
                confirmation_id=wanted,
                letters=[Occasion.EMAIL_CHANGE_OLD, Occasion.EMAIL_CHANGE_NEW],
                expires_after_seconds=int(lasts.total_seconds()),
            ),
            summary="A new e-mail address, to be confirmed by both mailboxes",
            user_id=user_id,
        )
        return EmailChangeAskedOut()

    @post(
        "/v1/auth/email-change/confirm",
        permission=Permission.SIGN_IN,
        status_code=200,
        summary="Agree to a new e-mail address",
        responses=refuses("token_expired", "email_taken"),
    )
    async def agree(self, data: MailedToken, resources: Resources, profiles: Profiles) -> EmailChangeOut:
        """With the second of the two links the address is changed.

        Orders that were made with it without an account become this account's.
        """
        async with resources.sessions.begin() as session:
            answered = await email_changes.agree(session, data.token)
            if answered.agreement is Agreement.BOTH:
                await claims.claim_guest_orders(session, answered.user_id)
        if answered.agreement is Agreement.BOTH:
            await profiles.forget(answered.user_id)
            await tell_answered(resources, answered.confirmation_id)
            return EmailChangeOut(status="changed")
        return EmailChangeOut(status="waiting_for_the_other")

    @post(
        "/v1/auth/email-change/refuse",
        permission=Permission.SIGN_IN,
        status_code=200,
        summary="Refuse a new e-mail address",
        responses=refuses("token_expired"),
    )
    async def refuse(self, data: MailedToken, resources: Resources) -> EmailChangeOut:
        """The address stays as it is. Somebody else had the password, so all sessions of the account end."""
        async with resources.sessions.begin() as session:
            answered = await email_changes.refuse(session, data.token)
            ended = await sessions.end_all(session, answered.user_id)
        await resources.deny_list.add(*ended)
        await tell_answered(resources, answered.confirmation_id)
        return EmailChangeOut(status="refused")
