"""Checkouts: the wish to order a cart, written down before anything is started, and what it was answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Sequence, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, new_id
from domain.errors import Refusal

order_numbers = Sequence("order_numbers", metadata=Base.metadata, start=1001)


class Checkout(Base):
    """The intake: a customer's wish to order a cart, written down before anything is started.

    A cart has at most one checkout that was not refused, so twins meet here and share one order id.
    """

    __tablename__ = "checkouts"

    order_id: Mapped[Id]
    order_number: Mapped[int] = mapped_column(BigInteger)
    payment_id: Mapped[UUID]
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id"))
    payment_method: Mapped[str]
    expected_total: Mapped[int | None] = mapped_column(BigInteger)
    is_refused: Mapped[bool] = mapped_column(server_default=text("false"))
    answer_status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """What the customer was told first; a repeated request gets it again."""
    created_at: Mapped[Now]

    __table_args__ = (Index("uq_checkouts_cart_id", "cart_id", unique=True, postgresql_where=text("NOT is_refused")),)


class IdempotencyKey(Base):
    """Which order a caller's ``Idempotency-Key`` stands for, and the fingerprint of the request it came with."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.order_id"))
    created_at: Mapped[Now]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a caller asks for: order this cart, paid like this."""

    caller: str
    idempotency_key: str
    request_hash: bytes
    cart_id: UUID
    payment_method: str
    expected_total: int | None


@dataclass(frozen=True, kw_only=True)
class Intake:
    """The checkout that a wish stands for: a new one, or the one it repeats or joins."""

    checkout: Checkout
    is_repeat: bool
    """The caller sent this key before."""


async def repeated(session: AsyncSession, wish: Wish) -> Checkout | None:
    """The checkout that this key stands for already; refuses ``idempotency_key_reused`` for another request."""
    found = (
        await session.execute(
            select(IdempotencyKey.request_hash, Checkout)
            .join(Checkout, Checkout.order_id == IdempotencyKey.order_id)
            .where(IdempotencyKey.caller == wish.caller, IdempotencyKey.key == wish.idempotency_key)
        )
    ).one_or_none()
    if found is None:
        return None
    request_hash, checkout = found
    if request_hash != wish.request_hash:
        raise Refusal("idempotency_key_reused", "This Idempotency-Key came with another request before.")
    return checkout


async def take_in(session: AsyncSession, wish: Wish) -> Intake:
    """Give the wish its order id, number and payment id, or those of the cart's checkout that is already on its way."""
    checkout = await _new_or_running(session, wish)
    is_new_key = await session.scalar(
        insert(IdempotencyKey)
        .values(
            caller=wish.caller,
            key=wish.idempotency_key,
            request_hash=wish.request_hash,
            order_id=checkout.order_id,
        )
        .on_conflict_do_nothing()
        .returning(IdempotencyKey.order_id)
    )
    if is_new_key:
        return Intake(checkout=checkout, is_repeat=False)
    twin = await repeated(session, wish)
    if twin is None:
        raise AssertionError("a key that conflicts exists")
    return Intake(checkout=twin, is_repeat=True)


async def _new_or_running(session: AsyncSession, wish: Wish) -> Checkout:
    while True:
        made = await session.scalars(
            insert(Checkout)
            .values(
                order_id=new_id(),
                order_number=order_numbers.next_value(),
                payment_id=new_id(),
                cart_id=wish.cart_id,
                payment_method=wish.payment_method,
                expected_total=wish.expected_total,
            )
            .on_conflict_do_nothing(index_elements=[Checkout.cart_id], index_where=text("NOT is_refused"))
            .returning(Checkout)
        )
        if checkout := made.one_or_none():
            return checkout
        running = await session.scalars(
            select(Checkout).where(Checkout.cart_id == wish.cart_id, Checkout.is_refused.is_(False))
        )
        if checkout := running.one_or_none():  # none: it was refused between the two statements
            return checkout


async def remember_answer(session: AsyncSession, order_id: UUID, status: int, answer: Mapping[str, Any]) -> None:
    """Keep what the customer was told; the first answer stays."""
    await session.execute(
        update(Checkout)
        .where(Checkout.order_id == order_id, Checkout.answer_status.is_(None))
        .values(answer_status=status, answer=dict(answer))
    )


async def refuse(session: AsyncSession, order_id: UUID) -> None:
    """The checkout came to nothing: its cart may start another one."""
    await session.execute(update(Checkout).where(Checkout.order_id == order_id).values(is_refused=True))
