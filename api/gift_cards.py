"""Gift cards: staff issues and disables them, and whoever has a code may see what is left on its card."""

from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.datastructures import CacheControlHeader
from pydantic import AwareDatetime, Field, field_validator
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.errors import refuses
from api.idempotency import Asked, Once
from api.operators import DENIED
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Amount, CardCode, Input, Output, amount
from db import credit
from db.base import new_id
from db.credit import CreditAccount, CreditEntry
from domain.credit import CreditReason, GiftCardStatus, new_code
from domain.errors import unacceptable
from domain.permissions import Permission
from runtime.resources import Resources

KEPT_NOWHERE = CacheControlHeader(no_store=True)
Why = Annotated[str, Field(min_length=1, max_length=500, description="It is kept in the audit log")]


class NewGiftCard(Input):
    amount: Amount
    expires_at: AwareDatetime | None = Field(default=None, description="`null`: never")
    reason: Why

    @field_validator("amount")
    @classmethod
    def is_something(cls, amount: Amount) -> Amount:
        if amount.as_money().minor <= 0:
            raise ValueError("a gift card is worth more than nothing")
        return amount


class Disabling(Input):
    reason: Why


class AskedCode(Input):
    code: CardCode


class GiftCardOut(Output):
    id: UUID
    last4: str = Field(description="How its code ends")
    status: GiftCardStatus
    initial_amount: Amount
    balance: Amount
    expires_at: datetime | None
    disabled_at: datetime | None
    created_at: datetime


class NewGiftCardOut(GiftCardOut):
    gift_card_code: str = Field(
        description="Shown this once: only its hash is kept. Empty when the answer is given again"
    )


class GiftCardPage(Output):
    items: list[GiftCardOut]
    next_cursor: str | None


class GiftCardBalanceOut(Output):
    last4: str
    status: GiftCardStatus
    balance: Amount
    expires_at: datetime | None


class CreditEntryOut(Output):
    id: UUID
    amount: Amount = Field(description="What the balance has risen by; below zero, what it has fallen by")
    reason: CreditReason
    order_id: UUID | None
    refund_id: UUID | None
    at: datetime


class CreditEntryPage(Output):
    items: list[CreditEntryOut]
    next_cursor: str | None


class GiftCardController(Controller):
    path = "/v1/admin/gift-cards"
    tags = ("Gift cards and store credit",)
    cache_control = KEPT_NOWHERE

    @post(
        permission=Permission.CREDIT_WRITE,
        summary="Issue a gift card",
        responses=refuses(*DENIED, "idempotency_key_reused"),
    )
    async def issue(self, data: NewGiftCard, caller: Caller, once: Once) -> Response[NewGiftCardOut]:
        """The code is in this answer and nowhere else. If the answer got lost, disable the card and issue another."""
        card_id, code = new_id(), new_code()

        async def carry_out(session: AsyncSession) -> NewGiftCardOut:
            if data.expires_at is not None and data.expires_at <= datetime.now(UTC):
                raise unacceptable("/expires_at", "lies in the past")
            issued = await credit.issue(
                session,
                card_id,
                code,
                data.amount.as_money(),
                expires_at=data.expires_at,
                actor=caller.name,
                words=data.reason,
            )
            return NewGiftCardOut(**vars(gift_card_out(issued)), gift_card_code=code)

        asked = Asked("issue_gift_card", caller.id or card_id, data)
        return await once.write(asked, carry_out, status_code=201)

    @get(permission=Permission.CREDIT_READ, summary="List gift cards", responses=refuses(*DENIED))
    async def list_cards(self, resources: Resources, limit: Limit, cursor: Cursor) -> GiftCardPage:
        """All that were ever issued, the newest first."""
        async with resources.autocommit() as session:
            rows = await credit.gift_cards(session, limit=limit + 1, before=id_in_cursor(cursor))
        more = cursor_behind(rows, limit, attrgetter("id"))
        return GiftCardPage(items=[gift_card_out(row) for row in rows[:limit]], next_cursor=more)

    @get(
        "/{card_id:uuid}",
        permission=Permission.CREDIT_READ,
        summary="Look at a gift card",
        responses=refuses(*DENIED, "not_found"),
    )
    async def show(self, card_id: UUID, resources: Resources) -> GiftCardOut:
        """What it was worth, and what is left."""
        async with resources.autocommit() as session:
            return gift_card_out(await credit.gift_card(session, card_id))

    @get(
        "/{card_id:uuid}/entries",
        permission=Permission.CREDIT_READ,
        summary="See what moved a gift card's balance",
        responses=refuses(*DENIED, "not_found"),
    )
    async def entries(self, card_id: UUID, resources: Resources, limit: Limit, cursor: Cursor) -> CreditEntryPage:
        """The newest first; they add up to the balance."""
        async with resources.autocommit() as session:
            card = await credit.gift_card(session, card_id)
            rows = await credit.entries_of(session, card_id, limit=limit + 1, before=id_in_cursor(cursor))
        more = cursor_behind(rows, limit, attrgetter("id"))
        return CreditEntryPage(items=[entry_out(row, card.currency) for row in rows[:limit]], next_cursor=more)

    @post(
        "/{card_id:uuid}/disable",
        status_code=200,
        permission=Permission.CREDIT_WRITE,
        summary="Disable a gift card",
        responses=refuses(*DENIED, "not_found", "idempotency_key_reused"),
    )
    async def disable(self, card_id: UUID, data: Disabling, caller: Caller, once: Once) -> Response[GiftCardOut]:
        """Nobody can pay with it any more; disabling twice is disabling once. What is on it stays in the books."""

        async def carry_out(session: AsyncSession) -> GiftCardOut:
            return gift_card_out(await credit.disable(session, card_id, actor=caller.name, words=data.reason))

        return await once.write(Asked("disable_gift_card", card_id, data), carry_out, status_code=200)


@post(
    "/v1/gift-cards/balance",
    status_code=200,
    permission=Permission.SHOP,
    tags=["Gift cards and store credit"],
    summary="See what is left on a gift card",
    responses=refuses("not_found"),
    cache_control=KEPT_NOWHERE,
)
async def check_balance(data: AskedCode, resources: Resources) -> GiftCardBalanceOut:
    """For whoever has its code, which so stands in no address. Whatever is not the code of a card is answered alike."""
    async with resources.autocommit() as session:
        card = await credit.by_code(session, data.code)
    if card is None:
        raise credit.no_such_card()
    return GiftCardBalanceOut.model_validate(vars(gift_card_out(card)))


def gift_card_out(card: CreditAccount) -> GiftCardOut:
    return GiftCardOut.model_validate(
        {
            **{name: getattr(card, name) for name in GiftCardOut.model_fields},
            "initial_amount": amount(card.initial_amount or 0, card.currency),
            "balance": amount(card.balance, card.currency),
        }
    )


def entry_out(entry: CreditEntry, currency: str) -> CreditEntryOut:
    return CreditEntryOut.model_validate(
        {
            **{name: getattr(entry, name) for name in CreditEntryOut.model_fields},
            "amount": amount(entry.amount, currency),
        }
    )
