"""Idempotency-Keys: which wish of which caller a key stands for, and what the caller was told. They never end.

A wish's id names what comes of it (an order, a refund, a parcel) and the question to its workflow, so that a repeated
wish finds what the first one made, however late it comes and whatever died in between.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from domain.errors import Refusal


class IdempotencyKey(Base):
    """One caller's key: the wish it stands for, the fingerprint of the request it came with, and the first answer.

    Nobody can be found by a row: accounts and carts are ids, guests' addresses a number that many addresses share, and
    what an answer says of people is left out.
    """

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    cart_id: Mapped[UUID | None]
    """A guest's cart: who knows it may repeat the wish from any address."""
    request_hash: Mapped[bytes]
    wish_id: Mapped[UUID]
    answer_status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[Now]

    __table_args__ = (
        Index(
            "uq_idempotency_keys_cart_id_key",
            "cart_id",
            "key",
            unique=True,
            postgresql_where=text("cart_id IS NOT NULL"),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Named:
    """A request that came with a key."""

    caller: str
    key: str
    request_hash: bytes
    cart_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """The wish that a key stands for."""

    wish_id: UUID
    answer_status: int | None = None
    answer: Any = None


async def known(session: AsyncSession, named: Named) -> Known | None:
    """The wish that came with this key before; refuses ``idempotency_key_reused`` for another request."""
    found = await session.execute(KNOWN, {"caller": named.caller, "key": named.key, "cart_id": named.cart_id})
    row = found.one_or_none()
    if row is None:
        return None
    if row.request_hash != named.request_hash:
        raise Refusal("idempotency_key_reused", "This Idempotency-Key came with another request before.")
    return Known(wish_id=row.wish_id, answer_status=row.answer_status, answer=row.answer)


KNOWN = text(
    """
    SELECT request_hash, wish_id, answer_status, answer FROM idempotency_keys
    WHERE key = :key AND (caller = :caller OR cart_id = CAST(:cart_id AS uuid))
    ORDER BY cart_id IS NOT DISTINCT FROM CAST(:cart_id AS uuid) DESC LIMIT 1
    """
)


async def take_in(session: AsyncSession, named: Named, wish_id: UUID) -> Known | None:
    """Write the key down for this wish; what it stands for already when it came before. Twins wait for each other."""
    wanted = {**vars(named), "wish_id": wish_id}
    if (await session.execute(TAKE_IN, wanted)).one_or_none() is not None:
        return None
    return await known(session, named)


TAKE_IN = text(
    """
    INSERT INTO idempotency_keys (caller, key, cart_id, request_hash, wish_id)
    VALUES (:caller, :key, :cart_id, :request_hash, :wish_id)
    ON CONFLICT DO NOTHING RETURNING wish_id
    """
)


async def remember(session: AsyncSession, named: Named, status: int, answer: Mapping[str, Any]) -> Known:
    """Keep what the caller is told; the first answer stays, and is what this gives."""
    answered = {"status": status, "answer": json.dumps(dict(answer))}
    row = (await session.execute(REMEMBER, {**vars(named), **answered})).one()
    return Known(wish_id=row.wish_id, answer_status=row.answer_status, answer=row.answer)


REMEMBER = text(
    """
    UPDATE idempotency_keys
    SET answer_status = coalesce(answer_status, :status), answer = coalesce(answer, CAST(:answer AS jsonb))
    WHERE key = :key AND (caller = :caller OR cart_id = CAST(:cart_id AS uuid)) AND request_hash = :request_hash
    RETURNING wish_id, answer_status, answer
    """
)
