"""Erasures: people who want to be forgotten, and what is left of them then."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import audit_log, confirmations, sessions
from db.base import Base, Id, Now, new_id
from db.customers import User
from db.orders import Order
from db.personal_data import HELD, Held
from db.sessions import LoginSession
from domain.customers import AccountStatus
from domain.erasures import NO_MAIL, ErasureState
from domain.errors import Refusal


class ErasureWish(Base):
    """Somebody's wish, or an operator's for them: an account with all its orders, or the orders of a guest."""

    __tablename__ = "erasures"

    id: Mapped[Id]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"), unique=True)
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"), unique=True)
    """One of a guest's orders; the others are those with the same e-mail address and without an account."""
    asked_by: Mapped[str]
    asked_at: Mapped[Now]
    erased_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("num_nonnulls(user_id, order_id) = 1", name="is_about_one"),)


@dataclass(frozen=True, kw_only=True)
class Everything:
    """What a person is known by."""

    user_id: UUID | None
    orders: list[UUID]
    carts: list[UUID]


async def ask(
    session: AsyncSession, *, user_id: UUID | None, order_id: UUID | None, asked_by: str
) -> tuple[ErasureWish, list[UUID]]:
    """The wish, the same again when it was there, and the sessions that end with it; the account is closed at once.

    Refuses ``not_found`` for an account or a guest's order that there is not. The caller starts the workflow before it
    commits; a transaction that is forgotten in between is ended by Postgres, so that no wish appears whose workflow has
    given it up.
    """
    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '15s'"))
    await _check_exists(session, user_id, order_id)
    wish = {"id": new_id(), "user_id": user_id, "order_id": order_id, "asked_by": asked_by}
    made = await session.scalar(insert(ErasureWish).values(wish).on_conflict_do_nothing().returning(ErasureWish.id))
    if made is not None:
        await audit_log.note(session, asked_by, "erase", order_id=order_id, words=None, entry_id=made)
    about = ErasureWish.user_id == user_id if user_id is not None else ErasureWish.order_id == order_id
    found = (await session.scalars(select(ErasureWish).where(about))).one()
    return found, await _close(session, user_id) if user_id is not None else []


async def _check_exists(session: AsyncSession, user_id: UUID | None, order_id: UUID | None) -> None:
    if user_id is not None and await session.get(User, user_id) is None:
        raise Refusal("not_found", "There is no such account.")
    if order_id is not None:
        order = await session.get(Order, order_id)
        if order is None or order.user_id is not None:
            raise Refusal("not_found", "There is no such order of a guest.")


async def _close(session: AsyncSession, user_id: UUID) -> list[UUID]:
    """Nobody signs in any more; the sessions that have ended by that."""
    await session.execute(
        update(User)
        .where(User.id == user_id, User.status != AccountStatus.CLOSED)
        .values(status=AccountStatus.CLOSED, updated_at=func.now())
    )
    await confirmations.end_open(session, user_id)
    return await sessions.end_all(session, user_id)


async def signed_in_lately(session: AsyncSession, session_id: UUID, *, within_seconds: int) -> bool:
    """Did whoever has this session give the password so short a time ago?"""
    began = await session.scalar(
        select(LoginSession.id).where(
            LoginSession.id == session_id,
            LoginSession.created_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, within_seconds),
        )
    )
    return began is not None


async def state_of(session: AsyncSession, erasure_id: UUID) -> ErasureState:
    wish = await session.get(ErasureWish, erasure_id)
    if wish is None:
        return ErasureState(was_asked=False)
    return ErasureState(was_asked=True, open_orders=len(await open_orders(session, await everything_of(session, wish))))


async def open_orders(session: AsyncSession, person: Everything) -> list[int]:
    """Numbers of the orders that still need to know who they are for: goods or money are on their way."""
    return list(await session.scalars(OPEN_ORDERS, {"orders": person.orders}))


OPEN_ORDERS = text(
    """
    SELECT number FROM orders WHERE id = ANY(:orders) AND (
        status NOT IN ('delivered', 'cancelled') OR return_status IN ('requested', 'in_progress')
        OR attention IS NOT NULL
        OR EXISTS (SELECT FROM refunds WHERE refunds.order_id = orders.id AND refunds.status = 'requested')
    ) ORDER BY number
    """
)


async def everything_of(session: AsyncSession, wish: ErasureWish) -> Everything:
    return await _everything(session, user_id=wish.user_id, order_id=wish.order_id)


async def everything_of_user(session: AsyncSession, user_id: UUID) -> Everything:
    return await _everything(session, user_id=user_id, order_id=None)


async def _everything(session: AsyncSession, *, user_id: UUID | None, order_id: UUID | None) -> Everything:
    """Of an account also what its person did as a guest: the e-mail address is verified, so it was them."""
    row = (await session.execute(EVERYTHING, {"user_id": user_id, "order_id": order_id, "nobody": NO_MAIL})).one()
    return Everything(user_id=user_id, orders=row.orders or [], carts=row.carts or [])


EVERYTHING = text(
    """
    WITH person AS (
        SELECT lower(email) AS email FROM users
        WHERE id = CAST(:user_id AS uuid) AND verified_at IS NOT NULL
        UNION ALL SELECT lower(email) FROM orders WHERE id = CAST(:order_id AS uuid) AND email <> :nobody
    ), ordered AS (
        SELECT id, cart_id FROM orders
        WHERE user_id = CAST(:user_id AS uuid) OR id = CAST(:order_id AS uuid)
           OR user_id IS NULL AND lower(email) IN (SELECT email FROM person)
    ), filled AS (
        SELECT id FROM carts
        WHERE user_id = CAST(:user_id AS uuid) OR user_id IS NULL AND lower(email) IN (SELECT email FROM person)
        UNION SELECT cart_id FROM ordered
    )
    SELECT (SELECT array_agg(id) FROM ordered) AS orders, (SELECT array_agg(id) FROM filled) AS carts
    """
)


async def erase(session: AsyncSession, erasure_id: UUID) -> ErasureState:
    """Nobody is in the person's rows any more; sums, states and dates stay."""
    wish = await session.get(ErasureWish, erasure_id, with_for_update=True)
    if wish is None or wish.erased_at is not None:
        return ErasureState(was_asked=wish is not None)
    person = await everything_of(session, wish)
    await session.execute(text("SELECT forget_words(:orders)"), {"orders": person.orders})
    for held in HELD:
        if held.is_deleted or held.becomes:
            await session.execute(text(_forgetting(held)), _known_by(held, person))
    wish.erased_at = func.now()
    await session.flush()
    return ErasureState(was_asked=True)


def _forgetting(held: Held) -> str:
    if held.is_deleted:
        return f"DELETE FROM {held.table} WHERE {held.whose}"  # noqa: S608 (our own list)
    changes = ", ".join(f"{column} = {value}" for column, value in held.becomes.items())
    return f"UPDATE {held.table} SET {changes} WHERE {held.whose}"  # noqa: S608


def _known_by(held: Held, person: Everything) -> dict[str, Any]:
    return {name: value for name, value in vars(person).items() if f":{name}" in held.whose}


async def exported(session: AsyncSession, person: Everything) -> dict[str, list[Any]]:
    """All rows about the person, table by table; no secrets, not even their hashes."""
    told: dict[str, list[Any]] = {}
    for held in HELD:
        if held.is_exported:
            rows = await session.scalars(text(_telling(held)), _known_by(held, person))
            told[held.table] = list(rows)
    return told


def _telling(held: Held) -> str:
    columns = [column.name for column in Base.metadata.tables[held.table].columns if "hash" not in column.name]
    row = f"SELECT {', '.join(columns)} FROM {held.table} WHERE {held.whose}"  # noqa: S608
    return f"SELECT to_jsonb(row) FROM ({row}) AS row"  # noqa: S608


async def shown(session: AsyncSession, erasure_id: UUID) -> tuple[ErasureWish, list[int]] | None:
    """The wish, and the orders that it waits for."""
    wish = await session.get(ErasureWish, erasure_id)
    if wish is None:
        return None
    waits_for = await open_orders(session, await everything_of(session, wish)) if wish.erased_at is None else []
    return wish, waits_for
