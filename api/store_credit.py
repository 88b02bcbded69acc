"""Store credit: staff gives and takes it, customers see what they have."""

from operator import attrgetter
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from pydantic import Field, field_validator
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.credentials import NOT_STORED
from api.errors import refuses
from api.gift_cards import CreditEntryPage, Why, entry_out
from api.idempotency import Asked, Once
from api.operators import DENIED
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Amount, Input, Output, amount
from api.users import whoever
from db import credit
from db.credit import CreditAccount
from domain.permissions import Permission
from runtime.resources import Resources

SignedAmount = Annotated[
    Amount, Field(description="Below zero, it is taken", examples=[{"amount": "-5.00", "currency": "USD"}])
]


class StoreCreditChange(Input):
    amount: SignedAmount
    reason: Why

    @field_validator("amount")
    @classmethod
    def is_something(cls, amount: Amount) -> Amount:
        if amount.as_money().minor == 0:
            raise ValueError("give something, or take something")
        return amount


class StoreCreditOut(Output):
    balances: list[Amount] = Field(description="One for each currency in which there ever was any")


class StoreCreditController(Controller):
    path = "/v1/admin/users/{user_id:uuid}/store-credit"
    tags = ("Gift cards and store credit",)
    cache_control = NOT_STORED

    @get(permission=Permission.CREDIT_READ, summary="See somebody's store credit", responses=refuses(*DENIED))
    async def show(self, user_id: UUID, resources: Resources) -> StoreCreditOut:
        """By currency; nothing for whoever never had any."""
        return await told(user_id, resources)

    @get(
        "/entries",
        permission=Permission.CREDIT_READ,
        summary="See what moved somebody's store credit",
        responses=refuses(*DENIED),
    )
    async def entries(self, user_id: UUID, resources: Resources, limit: Limit, cursor: Cursor) -> CreditEntryPage:
        """The newest first, in all currencies."""
        return await told_entries(user_id, resources, limit, cursor)

    @post(
        status_code=200,
        permission=Permission.CREDIT_WRITE,
        summary="Give store credit, or take some",
        responses=refuses(*DENIED, "not_found", "insufficient_credit", "idempotency_key_reused"),
    )
    async def adjust(
        self, user_id: UUID, data: StoreCreditChange, caller: Caller, once: Once
    ) -> Response[StoreCreditOut]:
        """Changes what the customer has in this currency, never to less than nothing."""

        async def carry_out(session: AsyncSession) -> StoreCreditOut:
            await credit.adjust(session, user_id, data.amount.as_money(), actor=caller.name, words=data.reason)
            return store_credit_out(*await credit.of_customer(session, user_id))

        return await once.write(Asked("adjust_store_credit", user_id, data), carry_out, status_code=200)


class MyStoreCreditController(Controller):
    path = "/v1/users/me/store-credit"
    tags = ("Gift cards and store credit",)
    cache_control = NOT_STORED

    @get(permission=Permission.ACCOUNT, summary="My store credit", responses=refuses("unauthenticated", "forbidden"))
    async def mine(self, caller: Caller, resources: Resources) -> StoreCreditOut:
        """By currency."""
        return await told(whoever(caller), resources)

    @get(
        "/entries",
        permission=Permission.ACCOUNT,
        summary="What moved my store credit",
        responses=refuses("unauthenticated", "forbidden"),
    )
    async def my_entries(self, caller: Caller, resources: Resources, limit: Limit, cursor: Cursor) -> CreditEntryPage:
        """The newest first, in all currencies."""
        return await told_entries(whoever(caller), resources, limit, cursor)


async def told(user_id: UUID, resources: Resources) -> StoreCreditOut:
    async with resources.autocommit() as session:
        return store_credit_out(*await credit.of_customer(session, user_id))


async def told_entries(user_id: UUID, resources: Resources, limit: int, cursor: str | None) -> CreditEntryPage:
    async with resources.autocommit() as session:
        rows = await credit.entries_of_customer(session, user_id, limit=limit + 1, before=id_in_cursor(cursor))
    more = cursor_behind([entry for entry, _ in rows], limit, attrgetter("id"))
    return CreditEntryPage(items=[entry_out(entry, currency) for entry, currency in rows[:limit]], next_cursor=more)


def store_credit_out(*accounts: CreditAccount) -> StoreCreditOut:
    return StoreCreditOut(balances=[Amount(**amount(account.balance, account.currency)) for account in accounts])
