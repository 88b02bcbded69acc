"""Carts: what a customer is about to order."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    Uuid,
    delete,
    func,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import baskets
from db.base import Base, Id, Now, new_id
from db.catalog import IS_IN_THE_SHOP
from domain.carts import LARGEST_QUANTITY, MOST_LINES, MOST_UNITS, USUAL_CAPS, CartCaps, RunningCheckout
from domain.credit import MOST_CARDS, Obstacle, Tender
from domain.errors import Refusal, unacceptable
from domain.promotions import MOST_CODES


class Cart(Base):
    """A cart; while ``order_id`` is set a checkout owns it and nobody may change it."""

    __tablename__ = "carts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    """Random, because a guest's cart id is the only thing that protects it."""
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    currency: Mapped[str]
    languages: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    """In which its things are called, the first that there is; ``None`` means the shop's own."""
    email: Mapped[str | None]
    shipping_address: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    shipping_method: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    line_count: Mapped[int] = mapped_column(server_default=text("0"))
    unit_count: Mapped[int] = mapped_column(server_default=text("0"))
    """Both are counted by a trigger of the items."""
    promotion_codes: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=text("'{}'"))
    """What the customer has entered, as :func:`domain.promotions.normalised` writes it."""
    gift_cards: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))
    """Those that shall pay, in that order; of their codes nothing is kept."""
    uses_store_credit: Mapped[bool] = mapped_column(server_default=text("false"))
    order_id: Mapped[UUID | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
    completed_at: Mapped[datetime | None]
    reminder_consent_at: Mapped[datetime | None]
    """Since when the customer agrees to be reminded of it by mail."""
    merged_into: Mapped[UUID | None]
    """The customer's cart that has its things now; what found no room there is still here."""

    __table_args__ = (
        Index("ix_carts_created_at_id", "created_at", "id", postgresql_where=text("order_id IS NULL")),
        CheckConstraint("merged_into IS NULL OR order_id IS NULL", name="merged_is_not_ordered"),
        CheckConstraint("completed_at IS NULL OR order_id IS NOT NULL", name="completed_has_order"),
        CheckConstraint(f"cardinality(promotion_codes) <= {MOST_CODES}", name="few_codes"),
        CheckConstraint(f"cardinality(gift_cards) <= {MOST_CARDS}", name="few_gift_cards"),
        CheckConstraint("NOT uses_store_credit OR user_id IS NOT NULL", name="guests_have_no_store_credit"),
        CheckConstraint(f"line_count BETWEEN 0 AND {MOST_LINES}", name="line_count_range"),
        CheckConstraint(f"unit_count BETWEEN 0 AND {MOST_UNITS}", name="unit_count_range"),
        {"postgresql_with": {"fillfactor": 70}},  # room beside each for what is still put into it
    )


class CartItem(Base):
    __tablename__ = "cart_items"

    id: Mapped[Id]
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id", ondelete="CASCADE"))
    variant_id: Mapped[UUID] = mapped_column(ForeignKey("variants.id"))
    quantity: Mapped[int]
    noted_price: Mapped[int | None] = mapped_column(BigInteger)
    """What one unit cost when somebody last said how many they want."""
    created_at: Mapped[Now]

    __table_args__ = (
        UniqueConstraint("cart_id", "variant_id", name="uq_cart_items_cart_id_variant_id"),
        CheckConstraint("quantity BETWEEN 1 AND 999", name="quantity_range"),
    )


async def create(session: AsyncSession, *, user_id: UUID | None, currency: str, languages: Sequence[str] = ()) -> UUID:
    cart = Cart(user_id=user_id, currency=currency, languages=list(languages) or None)
    session.add(cart)
    await session.flush()
    return cart.id


async def editable(session: AsyncSession, cart_id: UUID, *, expected: Collection[int] | None = None) -> Cart:
    """The cart, locked for a change that is based on one of these versions, or on any.

    Refuses ``not_found``, ``cart_merged``, ``cart_completed``, ``cart_in_checkout`` or ``precondition_failed``.
    """
    cart = await session.get(Cart, cart_id, with_for_update=True, populate_existing=True)
    if cart is None:
        raise Refusal("not_found", "There is no such cart.")
    if cart.merged_into is not None:
        raise merged(cart.merged_into)
    if cart.completed_at is not None:
        raise Refusal("cart_completed", "This cart has become an order.", order_id=str(cart.order_id))
    if cart.order_id is not None:
        raise await _in_checkout(session, cart.order_id)
    if expected is not None and cart.version not in expected:
        raise Refusal(
            "precondition_failed",
            "The cart was changed since the version in If-Match; read it again.",
            version=cart.version,
        )
    cart.version += 1
    cart.updated_at = func.now()
    return cart


def merged(into: UUID) -> Refusal:
    return Refusal("cart_merged", "The things of this cart were put into another one.", cart_id=str(into))


async def _in_checkout(session: AsyncSession, order_id: UUID) -> Refusal:
    row = (await session.execute(RUNNING_CHECKOUT, {"order_id": order_id})).mappings().one()
    running = RunningCheckout(**row)
    return Refusal(
        "cart_in_checkout",
        f"This cart is being checked out: {running.words}.",
        order_id=str(order_id),
        waits_for=running.waits_for,
        until=f"{running.until:%Y-%m-%dT%H:%M:%SZ}" if running.until else None,
    )


RUNNING_CHECKOUT = text(
    """
    SELECT orders.payment_status, orders.pending_step, payments.due_at AS transfer_due_at,
           (
               SELECT max(at) FROM order_events
               WHERE order_id = orders.id AND type = 'order.payment_requires_action'
           ) AS approval_asked_at
    FROM orders JOIN payments ON payments.order_id = orders.id WHERE orders.id = :order_id
    """
)


def say_who(cart: Cart, email: str) -> None:
    """Nobody has agreed to anything for an address that was not there when they did."""
    if cart.email != email:
        cart.email, cart.reminder_consent_at = email, None


async def add_item(
    session: AsyncSession, cart: Cart, variant_id: UUID, quantity: int, *, caps: CartCaps = USUAL_CAPS
) -> UUID:
    """Add units of a variant that is sold in the cart's currency; units of the same variant add up, to 999 at most.

    Returns the item that has them.

    Refuses ``validation_failed``, or ``cart_full`` when it is more than the shop allows in a cart.
    """
    if not await session.scalar(IS_SOLD, {"variant_id": variant_id, "currency": cart.currency}):
        raise unacceptable("/variant_id", f"is not sold in {cart.currency}")
    added = insert(CartItem).values(id=new_id(), cart_id=cart.id, variant_id=variant_id, quantity=quantity)
    item_id: UUID | None = await session.scalar(
        added.on_conflict_do_update(
            constraint="uq_cart_items_cart_id_variant_id",
            set_={"quantity": CartItem.quantity + added.excluded.quantity},
            where=CartItem.quantity + added.excluded.quantity <= LARGEST_QUANTITY,
        ).returning(CartItem.id)
    )
    if item_id is None:
        raise unacceptable("/quantity", f"adds up to more than {LARGEST_QUANTITY}")
    await _check_caps(session, cart, caps)
    return item_id


async def _check_caps(session: AsyncSession, cart: Cart, caps: CartCaps) -> None:
    """What makes a cart smaller is never refused, also where the shop has lowered its caps since."""
    counted = (await session.execute(COUNTED, {"cart_id": cart.id})).one()
    if counted.unit_count > cart.unit_count:
        caps.check(lines=counted.line_count, units=counted.unit_count)


COUNTED = text("SELECT line_count, unit_count FROM carts WHERE id = :cart_id")


IS_SOLD = text(
    f"""
    SELECT true FROM variants
    JOIN products ON products.id = variants.product_id
    JOIN prices ON prices.variant_id = variants.id AND prices.currency = :currency
    WHERE variants.id = :variant_id AND {IS_IN_THE_SHOP}
    """  # noqa: S608 (constant text)
)


async def set_quantity(
    session: AsyncSession, cart: Cart, item_id: UUID, quantity: int, *, caps: CartCaps = USUAL_CAPS
) -> None:
    """Refuses ``not_found``, or ``cart_full`` when it is more than the shop allows in a cart."""
    changed = await session.scalar(
        update(CartItem)
        .where(CartItem.cart_id == cart.id, CartItem.id == item_id)
        .values(quantity=quantity)
        .returning(CartItem.id)
    )
    if changed is None:
        raise Refusal("not_found", "There is no such item in this cart.")
    await _check_caps(session, cart, caps)


async def remove_item(session: AsyncSession, cart: Cart, item_id: UUID) -> None:
    removed = await session.scalar(
        delete(CartItem).where(CartItem.cart_id == cart.id, CartItem.id == item_id).returning(CartItem.id)
    )
    if removed is None:
        raise Refusal("not_found", "There is no such item in this cart.")


def enter_code(cart: Cart, code: str) -> None:
    """Refuses ``promotion_not_applicable`` when there are enough codes in the cart."""
    if code in cart.promotion_codes:
        return
    if len(cart.promotion_codes) >= MOST_CODES:
        raise Refusal(
            "promotion_not_applicable", f"A cart has at most {MOST_CODES} codes.", reason="too_many_codes", entered=code
        )
    cart.promotion_codes = [*cart.promotion_codes, code]


def remove_code(cart: Cart, code: str) -> None:
    """Refuses ``not_found`` for a code that was not entered."""
    if code not in cart.promotion_codes:
        raise Refusal("not_found", "There is no such code in this cart.")
    cart.promotion_codes = [known for known in cart.promotion_codes if known != code]


def enter_gift_card(cart: Cart, card_id: UUID) -> None:
    """Refuses ``gift_card_not_usable`` when there are enough cards in the cart."""
    if card_id in cart.gift_cards:
        return
    if len(cart.gift_cards) >= MOST_CARDS:
        raise gift_card_not_usable(Obstacle.TOO_MANY)
    cart.gift_cards = [*cart.gift_cards, card_id]


def remove_gift_card(cart: Cart, card_id: UUID) -> None:
    """Refuses ``not_found`` for a card that was not entered."""
    if card_id not in cart.gift_cards:
        raise Refusal("not_found", "There is no such gift card in this cart.")
    cart.gift_cards = [known for known in cart.gift_cards if known != card_id]


def gift_card_not_usable(why: Obstacle, last4: str | None = None) -> Refusal:
    which = f"The gift card that ends with {last4}" if last4 else "This gift card"
    return Refusal(
        "gift_card_not_usable", f"{which} cannot pay for this cart; nothing was charged.", reason=why, last4=last4
    )


def check_can_pay(paid: Tender) -> None:
    """Refuses ``gift_card_not_usable``: nobody is charged in full in silence who counts on a card."""
    for share in paid.cards:
        if why := paid.obstacle_of(share):
            raise gift_card_not_usable(why, share.purse.last4)


def use_store_credit(cart: Cart, *, wanted: bool) -> None:
    """Refuses ``validation_failed`` for a guest's cart."""
    if wanted and cart.user_id is None:
        raise unacceptable("/use", "a guest has no store credit")
    cart.uses_store_credit = wanted


async def choose_shipping(session: AsyncSession, cart: Cart, code: str) -> None:
    """Refuses ``validation_failed`` for a method that is not offered to this cart."""
    cart.shipping_method = code
    await session.flush()
    found = await baskets.priced(session, cart.id)
    if found is None or not found.is_shipping_offered:
        raise unacceptable("/code", "is not a shipping method that this cart may choose")


async def reopen(session: AsyncSession, cart_id: UUID, order_id: UUID) -> None:
    """Give the cart back to its customer after the checkout of this order came to nothing."""
    await session.execute(
        update(Cart)
        .where(Cart.id == cart_id, Cart.order_id == order_id, Cart.completed_at.is_(None))
        .values(order_id=None, version=Cart.version + 1, updated_at=func.now())
    )
