"""Customer groups, and who is in them. What a group's people pay is decided by prices and promotions."""

from operator import attrgetter
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, patch, post, put
from litestar.params import Parameter
from pydantic import Field

from api.auth import Caller
from api.catalog_schemas import Text
from api.credentials import NOT_STORED
from api.errors import refuses
from api.operators import DENIED
from api.paging import Cursor, Limit, code_in_cursor, cursor_behind
from api.profiles import Profiles
from api.schemas import Input, Output
from db import audit_log, customer_groups
from db.customer_groups import CustomerGroup
from domain.permissions import Permission
from runtime.resources import Resources

GroupCode = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$", examples=["wholesale"])]
Code = Annotated[str, Parameter(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$", description="Of the customer group")]
Name = Annotated[Text, Field(min_length=1, max_length=100, examples=["Wholesale"])]


class NewGroup(Input):
    code: GroupCode
    name: Name


class GroupChange(Input):
    name: Name


class GroupOut(Output):
    code: str
    name: str


class GroupPage(Output):
    items: list[GroupOut]
    next_cursor: str | None


class MembershipsOut(Output):
    user_id: UUID
    groups: list[str] = Field(description="Codes of all customer groups that the account is in now")


class CustomerGroupController(Controller):
    path = "/v1/admin/customer-groups"
    tags = ("Staff",)

    @get(permission=Permission.GROUPS_READ, summary="List customer groups", responses=refuses(*DENIED))
    async def list_groups(self, resources: Resources, limit: Limit, cursor: Cursor) -> GroupPage:
        """By their codes."""
        async with resources.autocommit() as session:
            found = await customer_groups.page(session, limit=limit + 1, after=code_in_cursor(cursor))
        more = cursor_behind(found, limit, attrgetter("code"))
        return GroupPage(items=[group_out(group) for group in found[:limit]], next_cursor=more)

    @post(
        permission=Permission.GROUPS_WRITE, summary="Make a customer group", responses=refuses(*DENIED, "group_exists")
    )
    async def create(self, data: NewGroup, caller: Caller, resources: Resources) -> GroupOut:
        """Nobody is in it yet. Its code stays; prices and promotions name it."""
        async with resources.sessions.begin() as session:
            made = await customer_groups.create(session, code=data.code, name=data.name)
            await audit_log.note(session, caller.name, "make_group", words=data.code)
        return group_out(made)

    @patch(
        "/{code:str}",
        permission=Permission.GROUPS_WRITE,
        summary="Rename a customer group",
        responses=refuses(*DENIED, "not_found"),
    )
    async def rename(self, code: Code, data: GroupChange, caller: Caller, resources: Resources) -> GroupOut:
        """Only what people read changes."""
        async with resources.sessions.begin() as session:
            renamed = await customer_groups.rename(session, code, data.name)
            await audit_log.note(session, caller.name, "rename_group", words=code)
        return group_out(renamed)


class MembershipController(Controller):
    path = "/v1/admin/users/{user_id:uuid}/groups"
    tags = ("Staff",)
    cache_control = NOT_STORED

    @get(
        permission=Permission.GROUPS_READ,
        summary="See in which groups somebody is",
        responses=refuses(*DENIED, "not_found"),
    )
    async def show(self, user_id: UUID, resources: Resources) -> MembershipsOut:
        """The codes, in their order."""
        async with resources.autocommit() as session:
            return MembershipsOut(user_id=user_id, groups=await customer_groups.groups_of(session, user_id))

    @put(
        "/{code:str}",
        permission=Permission.GROUPS_WRITE,
        summary="Put somebody into a group",
        responses=refuses(*DENIED, "not_found"),
    )
    async def put_in(
        self, user_id: UUID, code: Code, caller: Caller, resources: Resources, profiles: Profiles
    ) -> MembershipsOut:
        """From now on their carts have the group's prices. Content with somebody who is in it."""
        async with resources.sessions.begin() as session:
            if await customer_groups.put_in(session, user_id, code):
                await audit_log.note(session, caller.name, "put_into_group", words=f"{user_id} into {code}")
            groups = await customer_groups.groups_of(session, user_id)
        await profiles.forget(user_id)
        return MembershipsOut(user_id=user_id, groups=groups)

    @delete(
        "/{code:str}",
        status_code=200,
        permission=Permission.GROUPS_WRITE,
        summary="Take somebody out of a group",
        responses=refuses(*DENIED, "not_found"),
    )
    async def take_out(
        self, user_id: UUID, code: Code, caller: Caller, resources: Resources, profiles: Profiles
    ) -> MembershipsOut:
        """Their carts have other prices at once; orders keep theirs. Content with somebody who is not in it."""
        async with resources.sessions.begin() as session:
            if await customer_groups.take_out(session, user_id, code):
                await audit_log.note(session, caller.name, "take_out_of_group", words=f"{user_id} out of {code}")
            groups = await customer_groups.groups_of(session, user_id)
        await profiles.forget(user_id)
        return MembershipsOut(user_id=user_id, groups=groups)


def group_out(group: CustomerGroup) -> GroupOut:
    return GroupOut(code=group.code, name=group.name)
