"""Reminders of carts that were left, for those who agreed; an address that says no is never reminded again."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import mailbox
from db.base import Base, Now
from db.carts import Cart
from db.tokens import hash_of
from domain.cart_reminders import A_WHILE, MOST_EVER, CartStanding, LeftCart, LookAtCart, ReminderRules
from domain.errors import unacceptable
from domain.notifications import Occasion


class CartReminder(Base):
    """One reminder of a cart. The address is known by its hash alone, so that it can be counted and not read."""

    __tablename__ = "cart_reminders"

    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    address_hash: Mapped[bytes]
    asked_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(f"number BETWEEN 1 AND {MOST_EVER}", name="number_range"),
        Index("ix_cart_reminders_address_hash_asked_at", "address_hash", "asked_at"),
    )


class Unsubscribed(Base):
    """An address that wants no reminders, of whatever cart."""

    __tablename__ = "unsubscribed"

    address_hash: Mapped[bytes] = mapped_column(primary_key=True)
    at: Mapped[Now]


@dataclass(frozen=True, kw_only=True)
class Reminded:
    """What the letter says, and to whom."""

    email: str
    address_hash: bytes
    language: str | None
    lines: list[tuple[str, int]]
    """Names and quantities."""


def address_hash(email: str) -> bytes:
    return hash_of(email.strip().lower())


def consent(cart: Cart, *, is_given: bool) -> None:
    """The customer agrees to be reminded of the cart by mail, or takes that back."""
    if not is_given:
        cart.reminder_consent_at = None
    elif cart.email is None:
        raise unacceptable("/consent", "needs an e-mail address in the cart first")
    else:
        cart.reminder_consent_at = cart.reminder_consent_at or func.now()


async def remind(session: AsyncSession, request: LookAtCart, rules: ReminderRules) -> CartStanding:
    """Have the letter written when its time has come; content when it was asked for at this moment before."""
    cart = await session.get(Cart, request.cart_id, with_for_update=True, populate_existing=True)
    if cart is None or cart.email is None:
        return CartStanding(look_again_at=None, sent=0)
    reader = address_hash(cart.email)
    left = await _left(session, cart, reader, request.now)
    due_at = left.due_at(rules, request.now)
    if due_at is None or due_at > request.now:
        return CartStanding(look_again_at=due_at, sent=left.sent)
    number = left.sent + 1
    session.add(CartReminder(cart_id=cart.id, number=number, address_hash=reader, asked_at=request.now))
    await mailbox.ask_for(session, Occasion.CART_REMINDER, cart.id, occasion_of=f"{cart.id}/{number}")
    return CartStanding(look_again_at=request.now + rules.idle if number < rules.most else None, sent=number)


async def _left(session: AsyncSession, cart: Cart, reader: bytes, now: datetime) -> LeftCart:
    counted = {"cart_id": cart.id, "address_hash": reader, "since": now - A_WHILE}
    row = (await session.execute(COUNTED, counted)).one()
    return LeftCart(
        changed_at=cart.updated_at,
        is_wanted=(
            cart.reminder_consent_at is not None
            and cart.line_count > 0
            and cart.completed_at is None
            and cart.merged_into is None
            and not row.is_unsubscribed
        ),
        is_in_checkout=cart.order_id is not None,
        sent=row.sent,
        last_sent_at=row.last_sent_at,
        sent_to_address=row.sent_to_address,
    )


COUNTED = text(
    """
    SELECT count(*) FILTER (WHERE cart_id = :cart_id) AS sent,
           max(asked_at) FILTER (WHERE cart_id = :cart_id) AS last_sent_at,
           count(*) FILTER (WHERE address_hash = :address_hash AND asked_at > :since) AS sent_to_address,
           EXISTS (SELECT FROM unsubscribed WHERE unsubscribed.address_hash = :address_hash) AS is_unsubscribed
    FROM cart_reminders
    WHERE cart_id = :cart_id OR (address_hash = :address_hash AND asked_at > :since)
    """
)


async def unsubscribe(session: AsyncSession, hashed: bytes) -> None:
    """This address is never reminded again, of whatever cart; content when it said so before."""
    await session.execute(UNSUBSCRIBE, {"address_hash": hashed})


UNSUBSCRIBE = text("INSERT INTO unsubscribed (address_hash) VALUES (:address_hash) ON CONFLICT DO NOTHING")


async def still_wanted(session: AsyncSession, carts: Collection[UUID]) -> dict[UUID, Reminded]:
    """Those of the carts that there is still something to write about, and somebody who wants to read it."""
    rows = (await session.execute(STILL_WANTED, {"carts": list(carts)})).all()
    hashes = {row.id: address_hash(row.email) for row in rows}
    silent = set(await session.scalars(SILENT, {"hashes": list(hashes.values())}))
    return {
        row.id: Reminded(
            email=row.email,
            address_hash=hashes[row.id],
            language=row.language,
            lines=[(line["name"], line["quantity"]) for line in row.lines],
        )
        for row in rows
        if hashes[row.id] not in silent
    }


STILL_WANTED = text(
    """
    SELECT carts.id, carts.email, carts.languages[1] AS language, jsonb_agg(jsonb_build_object(
               'name', products.name, 'quantity', cart_items.quantity
           ) ORDER BY cart_items.id) AS lines
    FROM carts
    JOIN cart_items ON cart_items.cart_id = carts.id
    JOIN variants ON variants.id = cart_items.variant_id
    JOIN products ON products.id = variants.product_id
    WHERE carts.id = ANY(:carts) AND carts.order_id IS NULL AND carts.merged_into IS NULL
      AND carts.reminder_consent_at IS NOT NULL AND carts.email IS NOT NULL
    GROUP BY carts.id
    """
)

SILENT = text("SELECT address_hash FROM unsubscribed WHERE address_hash = ANY(CAST(:hashes AS bytea[]))")
