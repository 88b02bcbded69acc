"""How somebody becomes one of the shop's staff: an admin invites them by mail, and they choose their password."""

from datetime import datetime, timedelta
from operator import attrgetter
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, post
from pydantic import AfterValidator, WithJsonSchema

from api.auth import STAFF, Caller
from api.confirmations import begin_confirmation, tell_answered
from api.credentials import (
    NOT_STORED,
    AccountOut,
    Credentials,
    MailedToken,
    NewPassword,
    Username,
    hash_of_new,
)
from api.errors import refuses
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Email, Input, Output, acceptable_email
from db import audit_log, claims, confirmations, customers, invitations
from db.confirmations import Confirmation
from domain.confirmations import AskForConfirmation, ConfirmationStatus
from domain.customers import AccountStatus, Role
from domain.errors import Refusal
from domain.notifications import Occasion
from domain.permissions import Permission
from runtime.resources import Resources, opened
from runtime.settings import Settings

DENIED = ("unauthenticated", "forbidden")


def of_staff(role: Role) -> Role:
    if role not in STAFF:
        raise ValueError("Customers register by themselves; an invitation is for staff.")
    return role


StaffRole = Annotated[
    Role, AfterValidator(of_staff), WithJsonSchema({"type": "string", "enum": sorted(str(role) for role in STAFF)})
]


class NewInvitation(Input):
    email: Email
    role: StaffRole


class InvitationOut(Output):
    id: UUID
    email: str
    role: Role
    status: ConfirmationStatus
    asked_by: str
    created_at: datetime
    expires_at: datetime


class InvitationPage(Output):
    items: list[InvitationOut]
    next_cursor: str | None


class Acceptance(MailedToken, Credentials):
    username: Username
    password: NewPassword


class InvitationController(Controller):
    path = "/v1/admin/invitations"
    tags = ("Staff",)
    cache_control = NOT_STORED

    @post(
        permission=Permission.STAFF_MANAGE,
        summary="Invite somebody to the staff",
        responses=refuses(*DENIED, "email_taken"),
    )
    async def invite(self, data: NewInvitation, caller: Caller, resources: Resources) -> InvitationOut:
        """Mails a link, good once, to choose a password. An older invitation of the same address ends."""
        return invitation_out(await invite(resources, data.email, data.role, asked_by=caller.name))

    @get(permission=Permission.STAFF_MANAGE, summary="List invitations", responses=refuses(*DENIED))
    async def list_all(self, resources: Resources, limit: Limit, cursor: Cursor) -> InvitationPage:
        """The newest first, also those that were accepted or have expired."""
        async with resources.autocommit() as session:
            found = await invitations.page(session, limit=limit + 1, before=id_in_cursor(cursor))
        more = cursor_behind(found, limit, attrgetter("id"))
        return InvitationPage(items=[invitation_out(one) for one in found[:limit]], next_cursor=more)

    @delete(
        "/{invitation_id:uuid}",
        permission=Permission.STAFF_MANAGE,
        status_code=204,
        summary="Withdraw an invitation",
        responses=refuses(*DENIED, "not_found"),
    )
    async def withdraw(self, invitation_id: UUID, caller: Caller, resources: Resources) -> None:
        """Its link is worth nothing from now on."""
        async with resources.sessions.begin() as session:
            if not await invitations.withdraw(session, invitation_id):
                raise Refusal("not_found", "There is no such invitation that could still be accepted.")
            await audit_log.note(session, caller.name, "withdraw_invitation")
        await tell_answered(resources, invitation_id)


@post(
    "/v1/auth/invitations/accept",
    permission=Permission.SIGN_IN,
    tags=["Staff"],
    summary="Accept an invitation",
    responses=refuses("token_expired", "email_taken", "username_taken"),
    cache_control=NOT_STORED,
)
async def accept_invitation(data: Acceptance, resources: Resources) -> AccountOut:
    """Makes an active account with the role that the invitation gives. The mailed link works once."""
    async with resources.sessions() as session:
        invited = await invitations.followed(session, data.token)
    password_hash = await hash_of_new(resources, data.password, data.username, invited.email)
    async with resources.sessions.begin() as session:
        await confirmations.use(session, invited.confirmation_id)
        user = await customers.make_staff(
            session, username=data.username, email=invited.email, password_hash=password_hash, role=invited.role
        )
        await invitations.belongs_to(session, invited.confirmation_id, user.id)
        await claims.claim_guest_orders(session, user.id)
        await audit_log.note(session, f"{invited.role}:{user.id}", "accept_invitation")
    await tell_answered(resources, invited.confirmation_id)
    return AccountOut(user_id=user.id, status=AccountStatus.ACTIVE)


async def invite(resources: Resources, email: str, role: Role, *, asked_by: str) -> Confirmation:
    """Refuses ``email_taken``, and ``unavailable`` while no mail can be sent."""
    lasts = timedelta(hours=resources.settings.auth.invitation_hours)
    async with resources.sessions.begin() as session:
        invitation = await invitations.ask(session, email, role, asked_by=asked_by, lasts=lasts)
        await audit_log.note(session, asked_by, "invite", entry_id=invitation.id)
    await begin_confirmation(
        resources,
        AskForConfirmation(
            confirmation_id=invitation.id,
            letters=[Occasion.INVITATION],
            expires_after_seconds=int(lasts.total_seconds()),
        ),
        summary=f"Somebody is invited as {role}",
        user_id=None,
    )
    return invitation


async def invite_from_here(settings: Settings, email: str, role: Role) -> None:
    """By who runs the shop: ``ValueError`` for what is no address or no role of staff."""
    address, role = acceptable_email(email), of_staff(role)
    async with opened(settings) as resources:
        await invite(resources, address, role, asked_by="system")


def invitation_out(invitation: Confirmation) -> InvitationOut:
    return InvitationOut.model_validate({name: getattr(invitation, name) for name in InvitationOut.model_fields})
