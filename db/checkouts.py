"""Checkouts: the wish to order a cart, written down before anything is started, and what it was answered."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Sequence, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import idempotency
from db.base import Base, Id, Now, new_id
from db.idempotency import Named

GUESTS = "guest:"
"""How callers begin who have no account."""

order_numbers = Sequence("order_numbers", metadata=Base.metadata, start=1001)


class Checkout(Base):
    """The intake: a customer's wish to order a cart, written down before anything is started.

    A cart has at most one checkout that was not refused, so twins meet here and share one order id.
    """

    __tablename__ = "checkouts"

    order_id: Mapped[Id]
    order_number: Mapped[int] = mapped_column(BigInteger)
    payment_id: Mapped[UUID]
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id"), index=True)
    payment_method: Mapped[str]
    expected_total: Mapped[int | None] = mapped_column(BigInteger)
    expected_due: Mapped[int | None] = mapped_column(BigInteger)
    """What the customer was told that is left to pay, after credit."""
    is_refused: Mapped[bool] = mapped_column(server_default=text("false"))
    answer_status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """What the customer was told first; a repeated request gets it again."""
    created_at: Mapped[Now]

    __table_args__ = (
        Index("uq_checkouts_cart_id", "cart_id", unique=True, postgresql_where=text("NOT is_refused")),
        Index(
            "ix_checkouts_unanswered", "created_at", postgresql_where=text("answer_status IS NULL AND NOT is_refused")
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a caller asks for: order this cart, paid like this."""

    caller: str
    idempotency_key: str
    request_hash: bytes
    cart_id: UUID
    payment_method: str
    expected_total: int | None
    expected_due: int | None = None

    @property
    def named(self) -> Named:
        """A guest is whoever knows the cart, from whatever address."""
        return Named(
            caller=self.caller,
            key=self.idempotency_key,
            request_hash=self.request_hash,
            cart_id=self.cart_id if self.caller.startswith(GUESTS) else None,
        )


@dataclass(frozen=True, kw_only=True)
class Intake:
    """The checkout that a wish stands for: a new one, the one it repeats, or the one it joins."""

    order_id: UUID
    order_number: int
    payment_id: UUID
    cart_id: UUID
    payment_method: str
    expected_total: int | None
    answer_status: int | None = None
    answer: dict[str, Any] | None = None
    is_repeat: bool = False
    """The caller sent this key before."""


async def repeated(session: AsyncSession, wish: Wish) -> Intake | None:
    """The checkout that this key stands for already; refuses ``idempotency_key_reused`` for another request."""
    known = await idempotency.known(session, wish.named)
    if known is None:
        return None
    row = (await session.execute(READ, {"order_id": known.wish_id})).mappings().one()
    return Intake(**row, is_repeat=True)


_INTAKE = """checkouts.order_id, checkouts.order_number, checkouts.payment_id, checkouts.cart_id,
           checkouts.payment_method, checkouts.expected_total, checkouts.answer_status, checkouts.answer"""

READ = text(f"SELECT {_INTAKE} FROM checkouts WHERE order_id = :order_id")  # noqa: S608 (constant text)


async def take_in(session: AsyncSession, wish: Wish, *, order_id: UUID | None = None) -> Intake:
    """Give the wish its order id, number and payment id, or those of the cart's checkout that is already on its way.

    ``order_id`` is the id that a new order gets; without one it is made up here.
    ``wish.idempotency_key`` is new, as far as :func:`repeated` knew; twins that arrive together meet here.
    """
    wanted: dict[str, Any] = {
        "order_id": order_id or new_id(),
        "payment_id": new_id(),
        "cart_id": wish.cart_id,
        "payment_method": wish.payment_method,
        "expected_total": wish.expected_total,
    }
    key = vars(wish.named)
    while True:
        facts_of_it = {**wanted, **key, "ordered": wish.cart_id, "expected_due": wish.expected_due}
        made = (await session.execute(TAKE_IN, facts_of_it)).one_or_none()
        if made is not None:
            if not made.is_keyed:  # the same key came with another cart a moment ago
                await repeated(session, wish)
            return Intake(**wanted, order_number=made.order_number)
        joined = (await session.execute(JOIN_RUNNING, {**key, "ordered": wish.cart_id})).mappings().one_or_none()
        if joined is not None:
            facts = dict(joined)
            is_new_key = facts.pop("is_keyed")
            return Intake(**facts) if is_new_key else await repeated(session, wish) or Intake(**facts)
        # It was refused between the two statements, and the cart is free for a new one.


TAKE_IN = text(
    """
    WITH made AS (
        INSERT INTO checkouts (order_id, order_number, payment_id, cart_id, payment_method, expected_total,
                               expected_due)
        VALUES (:order_id, nextval('order_numbers'), :payment_id, :ordered, :payment_method, :expected_total,
                CAST(:expected_due AS bigint))
        ON CONFLICT (cart_id) WHERE NOT is_refused DO NOTHING
        RETURNING order_id, order_number
    ), keyed AS (
        INSERT INTO idempotency_keys (caller, key, cart_id, request_hash, wish_id)
        SELECT :caller, :key, CAST(:cart_id AS uuid), :request_hash, order_id FROM made
        ON CONFLICT DO NOTHING
        RETURNING key
    )
    SELECT order_number, EXISTS (SELECT FROM keyed) AS is_keyed FROM made
    """
)

JOIN_RUNNING = text(
    f"""
    WITH running AS (
        SELECT {_INTAKE} FROM checkouts WHERE cart_id = :ordered AND NOT is_refused
    ), keyed AS (
        INSERT INTO idempotency_keys (caller, key, cart_id, request_hash, wish_id)
        SELECT :caller, :key, CAST(:cart_id AS uuid), :request_hash, order_id FROM running
        ON CONFLICT DO NOTHING
        RETURNING key
    )
    SELECT running.*, EXISTS (SELECT FROM keyed) AS is_keyed FROM running
    """  # noqa: S608 (constant text)
)


@dataclass(frozen=True, kw_only=True)
class Unstarted:
    """A checkout that was taken in, and of which nothing shows yet that its workflow has begun."""

    intake: Intake
    customer: str
    is_overdue: bool
    """Its goods have been held for as long as they may."""


async def unstarted(
    session: AsyncSession, *, older_than: float, hold_seconds: int, except_for: Collection[UUID] = ()
) -> list[Unstarted]:
    """Checkouts that nobody has answered for so many seconds and whose payment nobody has asked for yet."""
    limits = {"age": older_than, "hold_seconds": hold_seconds, "except_for": list(except_for)}
    rows = (await session.execute(UNSTARTED, limits)).mappings()
    found = []
    for row in rows:
        facts = dict(row)
        customer, is_overdue = facts.pop("customer"), facts.pop("is_overdue")
        found.append(Unstarted(intake=Intake(**facts), customer=customer, is_overdue=is_overdue))
    return found


UNSTARTED = text(
    f"""
    SELECT {_INTAKE}, coalesce(CAST(carts.user_id AS text), 'guest') AS customer,
           checkouts.created_at < now() - make_interval(secs => :hold_seconds) AS is_overdue
    FROM checkouts
    JOIN carts ON carts.id = checkouts.cart_id
    LEFT JOIN orders ON orders.id = checkouts.order_id
    WHERE NOT checkouts.is_refused AND checkouts.answer_status IS NULL
      AND checkouts.created_at < now() - make_interval(secs => :age)
      AND checkouts.order_id <> ALL(CAST(:except_for AS uuid[]))
      AND (orders.id IS NULL OR (
          orders.status = 'pending' AND orders.payment_status = 'pending' AND orders.pending_step IS NULL
      ))
    ORDER BY checkouts.order_number LIMIT 200
    """  # noqa: S608 (constant text)
)


async def remember_answer(session: AsyncSession, order_id: UUID, status: int, answer: Mapping[str, Any]) -> None:
    """Keep what the customer was told; the first answer stays."""
    await session.execute(
        REMEMBER_ANSWER, {"order_id": order_id, "status": status, "answer": json.dumps(dict(answer), default=str)}
    )


REMEMBER_ANSWER = text(
    """
    UPDATE checkouts SET answer_status = :status, answer = CAST(:answer AS jsonb)
    WHERE order_id = :order_id AND answer_status IS NULL
    """
)


async def refuse(session: AsyncSession, order_id: UUID) -> None:
    """The checkout came to nothing: its cart may start another one."""
    await session.execute(text("UPDATE checkouts SET is_refused = true WHERE order_id = :id"), {"id": order_id})
