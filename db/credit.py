"""Gift cards and store credit: balances, and the ledger of all that ever moved them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import audit_log, paging
from db.base import Base, Id, Now, new_id, one_of
from db.customers import User
from db.tokens import hash_of
from domain.credit import (
    SHOWN_LENGTH,
    CreditKind,
    CreditReason,
    GiftCardStatus,
    Obstacle,
    Paid,
    Purse,
    Tender,
    coming_back,
    normalised,
)
from domain.customers import AccountStatus
from domain.errors import Refusal
from domain.money import Money


class CreditAccount(Base):
    """A gift card, whose owner is whoever knows its code, or what a customer has in one currency."""

    __tablename__ = "credit_accounts"

    id: Mapped[Id]
    kind: Mapped[str]
    currency: Mapped[str]
    balance: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """In minor units: what the entries add up to."""
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    code_hash: Mapped[bytes | None] = mapped_column(unique=True)
    last4: Mapped[str | None]
    initial_amount: Mapped[int | None] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint(one_of("kind", CreditKind), name="kind"),
        CheckConstraint("balance >= 0", name="balance_not_negative"),
        CheckConstraint("balance <= initial_amount", name="card_never_grows"),
        CheckConstraint("initial_amount > 0", name="initial_amount_positive"),
        CheckConstraint(
            "num_nulls(code_hash, last4, initial_amount) = CASE kind WHEN 'gift_card' THEN 0 ELSE 3 END",
            name="cards_have_codes",
        ),
        CheckConstraint("(kind = 'store_credit') = (user_id IS NOT NULL)", name="store_credit_has_owner"),
        CheckConstraint(
            "kind = 'gift_card' OR num_nonnulls(expires_at, disabled_at) = 0", name="only_cards_come_to_an_end"
        ),
        Index("uq_credit_accounts_user_id_currency", "user_id", "currency", unique=True),
        Index("ix_credit_accounts_gift_cards", "id", postgresql_where=text("kind = 'gift_card'")),
    )

    @property
    def status(self) -> GiftCardStatus:
        """Of a gift card."""
        if self.disabled_at is not None:
            return GiftCardStatus.DISABLED
        is_over = self.expires_at is not None and self.expires_at <= datetime.now(UTC)
        return GiftCardStatus.EXPIRED if is_over else GiftCardStatus.ACTIVE


class CreditEntry(Base):
    """One movement of a balance. Rows are only ever added."""

    __tablename__ = "credit_entries"

    id: Mapped[Id]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("credit_accounts.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    """What the balance has risen by, in minor units; below zero, what it has fallen by."""
    reason: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)
    """What it happened for: for the same thing it happens once."""
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"))
    refund_id: Mapped[UUID | None] = mapped_column(ForeignKey("refunds.id"))
    note_id: Mapped[UUID | None]
    """The audit log's entry with the words of whoever did it."""
    actor: Mapped[str]
    at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount_not_zero"),
        CheckConstraint(one_of("reason", CreditReason), name="reason"),
        CheckConstraint("(reason = 'spent' AND amount < 0) OR reason = 'adjusted' OR amount > 0", name="sign"),
        CheckConstraint("(reason IN ('issued', 'adjusted')) = (order_id IS NULL)", name="has_an_order"),
        CheckConstraint("(reason IN ('refunded', 'converted')) = (refund_id IS NOT NULL)", name="has_a_refund"),
        Index("ix_credit_entries_account_id_id", "account_id", "id"),
        Index("ix_credit_entries_order_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    )


@dataclass(frozen=True, kw_only=True)
class Move:
    """A balance rises by ``amount`` minor units, or falls; for the same ``key`` once."""

    account_id: UUID
    amount: int
    reason: CreditReason
    key: str
    order_id: UUID | None = None
    refund_id: UUID | None = None
    note_id: UUID | None = None


async def move(session: AsyncSession, moves: Sequence[Move], *, actor: str = "system") -> None:
    """Write the movements that were not written before, and change the balances by them.

    Balances are locked in the order of their ids. Postgres refuses one that would fall below zero.
    """
    if not moves:
        return
    rows = [{"id": new_id(), **vars(each), "actor": actor} for each in moves]
    await session.execute(MOVE, {"moves": json.dumps(rows, default=str)})


MOVE = text(
    """
    WITH wanted AS (
        SELECT * FROM jsonb_to_recordset(CAST(:moves AS jsonb))
            AS wanted (id uuid, account_id uuid, amount bigint, reason text, key text, order_id uuid, refund_id uuid,
                       note_id uuid, actor text)
    ), locked AS (
        SELECT id FROM credit_accounts WHERE id IN (SELECT account_id FROM wanted) ORDER BY id FOR NO KEY UPDATE
    ), written AS (
        INSERT INTO credit_entries (id, account_id, amount, reason, key, order_id, refund_id, note_id, actor)
        SELECT wanted.id, account_id, amount, reason, key, order_id, refund_id, note_id, actor
        FROM wanted JOIN locked ON locked.id = account_id
        ORDER BY wanted.id
        ON CONFLICT (key) DO NOTHING
        RETURNING account_id, amount
    )
    UPDATE credit_accounts SET balance = balance + moved.amount
    FROM (SELECT account_id, sum(amount)::bigint AS amount FROM written GROUP BY account_id) AS moved
    WHERE credit_accounts.id = moved.account_id
    """
)


# --- gift cards


async def issue(
    session: AsyncSession,
    card_id: UUID,
    code: str,
    worth: Money,
    *,
    expires_at: datetime | None,
    actor: str,
    words: str,
) -> CreditAccount:
    """A new card with this code, of which only a hash is kept."""
    plain = normalised(code)
    session.add(
        CreditAccount(
            id=card_id,
            kind=CreditKind.GIFT_CARD,
            currency=worth.currency,
            code_hash=hash_of(plain),
            last4=plain[-SHOWN_LENGTH:],
            initial_amount=worth.minor,
            expires_at=expires_at,
        )
    )
    await session.flush()
    note_id = await audit_log.note(session, actor, "issue_gift_card", words=f"{card_id} of {worth}: {words}")
    issued = Move(
        account_id=card_id,
        amount=worth.minor,
        reason=CreditReason.ISSUED,
        key=f"gift_card/{card_id}/issued",
        note_id=note_id,
    )
    await move(session, [issued], actor=actor)
    return await _fresh(session, card_id)


async def gift_card(session: AsyncSession, card_id: UUID) -> CreditAccount:
    """Refuses ``not_found``."""
    found = await session.get(CreditAccount, card_id)
    if found is None or found.kind != CreditKind.GIFT_CARD:
        raise no_such_card()
    return found


async def by_code(session: AsyncSession, code: str) -> CreditAccount | None:
    """The card, as long as somebody has typed its code right."""
    found = await session.scalars(select(CreditAccount).where(CreditAccount.code_hash == hash_of(normalised(code))))
    return found.one_or_none()


def no_such_card() -> Refusal:
    return Refusal("not_found", "There is no such gift card.")


async def gift_cards(session: AsyncSession, *, limit: int, before: UUID | None) -> Sequence[CreditAccount]:
    """The newest first."""
    are_cards = CreditAccount.kind == CreditKind.GIFT_CARD
    return await paging.newest(session, CreditAccount, are_cards, limit=limit, before=before)


async def disable(session: AsyncSession, card_id: UUID, *, actor: str, words: str) -> CreditAccount:
    """Nobody can pay with it any more; content when that was so before. Its balance stays where it is."""
    card = await session.get(CreditAccount, card_id, with_for_update={"key_share": True}, populate_existing=True)
    if card is None or card.kind != CreditKind.GIFT_CARD:
        raise no_such_card()
    if card.disabled_at is None:
        card.disabled_at = func.now()
        await session.flush()
        await audit_log.note(session, actor, "disable_gift_card", words=f"{card_id}: {words}")
    return await _fresh(session, card_id)


async def _fresh(session: AsyncSession, account_id: UUID) -> CreditAccount:
    return await session.get_one(CreditAccount, account_id, populate_existing=True)


# --- store credit


async def of_customer(session: AsyncSession, user_id: UUID) -> Sequence[CreditAccount]:
    """What somebody has, by currency."""
    found = await session.scalars(
        select(CreditAccount).where(CreditAccount.user_id == user_id).order_by(CreditAccount.currency)
    )
    return found.all()


async def has_account(session: AsyncSession, user_id: UUID) -> bool:
    """Nobody is given credit whose account may still vanish, or is closed."""
    user = await session.get(User, user_id)
    return user is not None and user.status == AccountStatus.ACTIVE


async def account_of(session: AsyncSession, user_id: UUID, currency: str) -> UUID:
    """The customer's account in this currency, opened when there is none."""
    opened = {"id": new_id(), "kind": CreditKind.STORE_CREDIT, "user_id": user_id, "currency": currency}
    await session.execute(insert(CreditAccount).values(opened).on_conflict_do_nothing())
    found = await session.scalars(
        select(CreditAccount.id).where(CreditAccount.user_id == user_id, CreditAccount.currency == currency)
    )
    return found.one()


async def adjust(session: AsyncSession, user_id: UUID, change: Money, *, actor: str, words: str) -> CreditAccount:
    """Give a customer store credit, or take some; refuses ``not_found`` and ``insufficient_credit``."""
    if not await has_account(session, user_id):
        raise Refusal("not_found", "There is no such account.")
    account_id = await account_of(session, user_id, change.currency)
    note_id = await audit_log.note(session, actor, "adjust_store_credit", words=f"{user_id} by {change}: {words}")
    adjusted = Move(
        account_id=account_id,
        amount=change.minor,
        reason=CreditReason.ADJUSTED,
        key=f"store_credit/{account_id}/adjusted/{note_id}",
        note_id=note_id,
    )
    try:
        async with session.begin_nested():
            await move(session, [adjusted], actor=actor)
    except IntegrityError:
        there = Money((await _fresh(session, account_id)).balance, change.currency)
        raise Refusal(
            "insufficient_credit",
            f"There are only {there} to be taken.",
            balance={"amount": there.amount, "currency": there.currency},
        ) from None
    return await _fresh(session, account_id)


# --- paying with it

PURSES = """(
                   CASE WHEN cardinality(carts.gift_cards) = 0 AND NOT carts.uses_store_credit THEN '[]' ELSE (
                       SELECT coalesce(jsonb_agg(jsonb_build_object(
                           'account_id', mine.id, 'kind', mine.kind, 'last4', mine.last4,
                           'obstacle', CASE
                               WHEN mine.currency <> carts.currency THEN 'other_currency'
                               WHEN mine.disabled_at IS NOT NULL THEN 'disabled'
                               WHEN mine.expires_at <= now() THEN 'expired'
                           END,
                           'balance', mine.balance + coalesce((
                               SELECT -sum(amount) FROM credit_entries
                               WHERE order_id = carts.order_id AND account_id = mine.id AND reason <> 'converted'
                           ), 0)
                       ) ORDER BY mine.position), '[]')
                       FROM (
                           SELECT credit_accounts.*, position
                           FROM unnest(carts.gift_cards) WITH ORDINALITY AS entered (id, position)
                           JOIN credit_accounts ON credit_accounts.id = entered.id
                           UNION ALL
                           SELECT credit_accounts.*, cardinality(carts.gift_cards) + 1
                           FROM credit_accounts
                           WHERE carts.uses_store_credit AND credit_accounts.user_id = carts.user_id
                             AND credit_accounts.currency = carts.currency
                       ) AS mine
                   ) END
               )"""
"""SQL for what a cart shall be paid with, in that order; what its own order was paid with is still there for it."""


def purses_of(rows: Sequence[Mapping[str, Any]]) -> list[Purse]:
    return [
        Purse(
            account_id=UUID(row["account_id"]),
            kind=CreditKind(row["kind"]),
            last4=row["last4"],
            balance=row["balance"],
            obstacle=Obstacle(row["obstacle"]) if row["obstacle"] else None,
        )
        for row in rows
    ]


async def locked_purses(session: AsyncSession, cart_id: UUID, accounts: Sequence[UUID]) -> list[Purse]:
    """The cart's purses as they are now that nobody else can change them."""
    await session.execute(LOCK_ACCOUNTS, {"accounts": list(accounts)})
    return purses_of(await session.scalar(READ_PURSES, {"cart_id": cart_id}))


LOCK_ACCOUNTS = text("SELECT FROM credit_accounts WHERE id = ANY(:accounts) ORDER BY id FOR NO KEY UPDATE")
READ_PURSES = text(f"SELECT {PURSES} FROM carts WHERE id = :cart_id")  # noqa: S608 (constant text)


async def spend(session: AsyncSession, order_id: UUID, paid: Tender) -> None:
    """The order that was just placed is paid with these; the caller has locked the balances."""
    spent = [
        Move(
            account_id=share.purse.account_id,
            amount=-share.amount,
            reason=CreditReason.SPENT,
            key=f"order/{order_id}/spent/{share.purse.account_id}",
            order_id=order_id,
        )
        for share in paid.shares
        if share.amount
    ]
    await move(session, spent)


@dataclass(frozen=True, kw_only=True)
class Held:
    """What credit the shop has of an order; minor units."""

    paid: list[Paid]
    """By accounts, in the order in which they paid."""
    amount: int
    """In all, without what has gone back, to wherever."""
    promised: int
    """What of it is on its way back, with refunds that the provider has not answered yet."""

    @property
    def free(self) -> int:
        return self.amount - self.promised


async def held_of(session: AsyncSession, order_id: UUID) -> Held:
    """The caller holds the lock of the order's row."""
    found = (await session.execute(HELD, {"order_id": order_id})).one()
    paid = [Paid(account_id=UUID(one["account_id"]), amount=one["amount"]) for one in found.paid or []]
    return Held(paid=paid, amount=found.amount, promised=found.promised)


HELD = text(
    """
    SELECT (
        SELECT jsonb_agg(jsonb_build_object('account_id', account_id, 'amount', amount) ORDER BY first) FROM (
            SELECT account_id, -sum(amount) AS amount, min(id::text) AS first FROM credit_entries
            WHERE order_id = orders.id AND reason <> 'converted'
            GROUP BY account_id HAVING sum(amount) < 0
        ) AS parts
    ) AS paid, orders.credit - coalesce((
        SELECT sum(amount) FROM credit_entries WHERE order_id = orders.id AND reason = 'given_back'
    ), 0)::bigint - coalesce(made.back, 0)::bigint AS amount, coalesce(made.asked, 0)::bigint AS promised
    FROM orders CROSS JOIN LATERAL (
        SELECT sum(of_credit) FILTER (WHERE status = 'succeeded') AS back,
               sum(of_credit) FILTER (WHERE status = 'requested') AS asked
        FROM refunds WHERE refunds.order_id = orders.id
    ) AS made
    WHERE orders.id = :order_id
    """
)


async def give_back(session: AsyncSession, order_id: UUID, *, why: str, keeps: int = 0, actor: str = "system") -> int:
    """What the shop has of an order's credit beyond ``keeps`` goes back to where it came from, once for each ``why``.

    The caller holds the lock of the order's row. Returns how much went back.
    """
    held = await held_of(session, order_id)
    too_much = max(held.free - keeps, 0)
    back = [
        Move(
            account_id=part.account_id,
            amount=part.amount,
            reason=CreditReason.GIVEN_BACK,
            key=f"{why}/given_back/{part.account_id}",
            order_id=order_id,
        )
        for part in coming_back(too_much, held.paid)
    ]
    await move(session, back, actor=actor)
    return too_much


async def refund(session: AsyncSession, order_id: UUID, refund_id: UUID, amount: int, *, actor: str) -> None:
    """So much of the order's credit goes back to where it came from."""
    held = await held_of(session, order_id)
    back = [
        Move(
            account_id=part.account_id,
            amount=part.amount,
            reason=CreditReason.REFUNDED,
            key=f"refund/{refund_id}/{part.account_id}",
            order_id=order_id,
            refund_id=refund_id,
        )
        for part in coming_back(amount, held.paid)
    ]
    await move(session, back, actor=actor)


async def convert(
    session: AsyncSession, order_id: UUID, refund_id: UUID, user_id: UUID, amount: Money, *, actor: str
) -> None:
    """The customer gets what is refunded of an order as store credit."""
    converted = Move(
        account_id=await account_of(session, user_id, amount.currency),
        amount=amount.minor,
        reason=CreditReason.CONVERTED,
        key=f"refund/{refund_id}/converted",
        order_id=order_id,
        refund_id=refund_id,
    )
    await move(session, [converted], actor=actor)


# --- the ledger


async def entries_of(
    session: AsyncSession, account_id: UUID, *, limit: int, before: UUID | None
) -> Sequence[CreditEntry]:
    """The newest first."""
    are_its = CreditEntry.account_id == account_id
    return await paging.newest(session, CreditEntry, are_its, limit=limit, before=before)


async def entries_of_customer(session: AsyncSession, user_id: UUID, *, limit: int, before: UUID | None) -> list[Any]:
    """All that moved somebody's store credit, with its currency, the newest first."""
    wanted = (
        select(CreditEntry, CreditAccount.currency)
        .join(CreditAccount, CreditAccount.id == CreditEntry.account_id)
        .where(CreditAccount.user_id == user_id)
        .order_by(CreditEntry.id.desc())
        .limit(limit)
    )
    found = await session.execute(wanted if before is None else wanted.where(CreditEntry.id < before))
    return list(found)
