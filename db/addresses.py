"""Address books: where somebody has things sent to, and where bills go."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import customers
from db.base import Base, Id, Now
from domain.errors import Refusal

MOST_ADDRESSES = 50
"""In one book."""


class Address(Base):
    """Carts and orders hold copies of it: what changes here changes none of them."""

    __tablename__ = "addresses"

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    line1: Mapped[str]
    line2: Mapped[str | None]
    city: Mapped[str]
    region: Mapped[str | None]
    postal_code: Mapped[str]
    country: Mapped[str]
    phone: Mapped[str | None]
    is_default_shipping: Mapped[bool] = mapped_column(server_default=text("false"))
    is_default_billing: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        Index("ix_addresses_user_id_id", "user_id", "id"),
        Index("uq_addresses_default_shipping", "user_id", unique=True, postgresql_where=text("is_default_shipping")),
        Index("uq_addresses_default_billing", "user_id", unique=True, postgresql_where=text("is_default_billing")),
        CheckConstraint("country ~ '^[A-Z]{2}$'", name="country_code"),
    )


OF_A_PLACE = ("name", "line1", "line2", "city", "region", "postal_code", "country", "phone")
DEFAULTS = ("is_default_shipping", "is_default_billing")


async def page(session: AsyncSession, user_id: UUID, *, limit: int, after: UUID | None) -> Sequence[Address]:
    """The oldest first, from behind the id ``after``."""
    wanted = select(Address).where(Address.user_id == user_id)
    if after is not None:
        wanted = wanted.where(Address.id > after)
    return (await session.scalars(wanted.order_by(Address.id).limit(limit))).all()


async def own(session: AsyncSession, user_id: UUID, address_id: UUID) -> Address:
    """Refuses ``not_found`` for an address that is not in this account's book."""
    found = await session.scalars(select(Address).where(Address.id == address_id, Address.user_id == user_id))
    if (address := found.one_or_none()) is None:
        raise Refusal("not_found", "There is no such address in your book.")
    return address


async def add(session: AsyncSession, user_id: UUID, facts: Mapping[str, Any]) -> Address:
    """The first of a book is its default for everything; refuses ``address_book_full``."""
    await _locked(session, user_id)
    known = await session.scalar(select(func.count()).where(Address.user_id == user_id)) or 0
    if known >= MOST_ADDRESSES:
        raise Refusal("address_book_full", f"A book holds {MOST_ADDRESSES} addresses; take one out first.")
    facts = {**facts, **dict.fromkeys(DEFAULTS, True)} if known == 0 else facts
    await _make_room_for_defaults(session, user_id, facts)
    address = Address(user_id=user_id, **facts)
    session.add(address)
    await session.flush()
    return address


async def replace(session: AsyncSession, user_id: UUID, address_id: UUID, facts: Mapping[str, Any]) -> Address:
    await _locked(session, user_id)
    address = await own(session, user_id, address_id)
    await _make_room_for_defaults(session, user_id, facts, but=address_id)
    for name, value in facts.items():
        setattr(address, name, value)
    address.updated_at = func.now()
    await session.flush()
    await session.refresh(address)
    return address


async def remove(session: AsyncSession, user_id: UUID, address_id: UUID) -> None:
    await own(session, user_id, address_id)
    await session.execute(delete(Address).where(Address.id == address_id))


def copy_of(address: Address) -> dict[str, Any]:
    """As carts and orders keep it."""
    return {name: getattr(address, name) for name in OF_A_PLACE}


async def _locked(session: AsyncSession, user_id: UUID) -> None:
    """Two who change one book do so one after the other."""
    if not await customers.locked(session, user_id):
        raise Refusal("not_found", "This account does not exist any more.")


async def _make_room_for_defaults(
    session: AsyncSession, user_id: UUID, facts: Mapping[str, Any], *, but: UUID | None = None
) -> None:
    for name in DEFAULTS:
        if facts[name]:
            others = update(Address).where(
                Address.user_id == user_id, Address.id.is_distinct_from(but), getattr(Address, name)
            )
            await session.execute(others.values({name: False}).execution_options(synchronize_session=False))
