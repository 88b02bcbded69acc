"""Reminders of carts, as the tables keep them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from db import cart_reminders, carts
from domain.cart_reminders import CartStanding, LookAtCart, ReminderRules
from domain.errors import Refusal
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.orders import a_cart, place, to_place

DAY = timedelta(hours=24)
RULES = ReminderRules(idle=DAY, most=2)


def somebody() -> str:
    return f"left.{uuid4().hex}@example.com"


async def a_left_cart(resources: Resources, email: str, *, consents: bool = True) -> UUID:
    product = await a_product(resources.sessions, stock=9)
    cart_id = await a_cart(resources.sessions, (product.variant_id, 1), email=email)
    if consents:
        await agree(resources, cart_id)
    return cart_id


async def agree(resources: Resources, cart_id: UUID, *, is_given: bool = True) -> None:
    async with resources.sessions.begin() as session:
        cart_reminders.consent(await carts.editable(session, cart_id), is_given=is_given)


async def look(resources: Resources, cart_id: UUID, now: datetime) -> CartStanding:
    async with resources.sessions.begin() as session:
        return await cart_reminders.remind(session, LookAtCart(cart_id=cart_id, now=now), RULES)


async def letters(resources: Resources, cart_id: UUID) -> list[str]:
    async with resources.sessions() as session:
        found = await session.scalars(text("SELECT key FROM letters WHERE about = :id ORDER BY key"), {"id": cart_id})
        return list(found)


async def test_a_cart_that_was_left_brings_two_mails_and_no_third(resources: Resources) -> None:
    cart_id, begun = await a_left_cart(resources, somebody()), datetime.now(UTC)
    early = await look(resources, cart_id, begun)
    assert early.look_again_at is not None
    assert (early.look_again_at - begun).total_seconds() == pytest.approx(DAY.total_seconds(), abs=60)
    assert await letters(resources, cart_id) == []

    first = early.look_again_at
    for _ in range(2):  # a step that is repeated
        assert await look(resources, cart_id, first) == CartStanding(look_again_at=first + DAY, sent=1)
    assert await letters(resources, cart_id) == [f"cart_reminder:{cart_id}/1"]
    assert await look(resources, cart_id, first + DAY) == CartStanding(look_again_at=None, sent=2)

    assert await look(resources, cart_id, first + 9 * DAY) == CartStanding(look_again_at=None, sent=2)
    assert await letters(resources, cart_id) == [f"cart_reminder:{cart_id}/1", f"cart_reminder:{cart_id}/2"]


async def is_ordered(resources: Resources, cart_id: UUID) -> None:
    request = await to_place(resources.sessions, cart_id)
    await place(resources.sessions, request)
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE carts SET completed_at = now() WHERE id = :id AND order_id IS NOT NULL"), {"id": cart_id}
        )


async def is_emptied(resources: Resources, cart_id: UUID) -> None:
    async with resources.sessions.begin() as session:
        await session.execute(text("DELETE FROM cart_items WHERE cart_id = :id"), {"id": cart_id})


async def is_removed(resources: Resources, cart_id: UUID) -> None:
    async with resources.sessions.begin() as session:
        await session.execute(text("DELETE FROM carts WHERE id = :id"), {"id": cart_id})


async def is_told_to_stop(resources: Resources, cart_id: UUID) -> None:
    await agree(resources, cart_id, is_given=False)


async def has_another_address(resources: Resources, cart_id: UUID) -> None:
    async with resources.sessions.begin() as session:
        carts.say_who(await carts.editable(session, cart_id), somebody())


@pytest.mark.parametrize("ends", [is_ordered, is_emptied, is_removed, is_told_to_stop, has_another_address])
async def test_nobody_is_reminded_once_there_is_no_reason_to(
    resources: Resources, ends: Callable[[Resources, UUID], Awaitable[None]]
) -> None:
    cart_id = await a_left_cart(resources, somebody())
    await ends(resources, cart_id)

    standing = await look(resources, cart_id, datetime.now(UTC) + 2 * DAY)

    assert standing == CartStanding(look_again_at=None, sent=0)
    assert await letters(resources, cart_id) == []


async def test_nobody_is_reminded_who_has_not_agreed(resources: Resources) -> None:
    cart_id = await a_left_cart(resources, somebody(), consents=False)

    assert await look(resources, cart_id, datetime.now(UTC) + 2 * DAY) == CartStanding(look_again_at=None, sent=0)
    nameless = await a_cart(resources.sessions, email=None)
    with pytest.raises(Refusal) as refused:
        await agree(resources, nameless)
    assert refused.value.facts["errors"] == [
        {"pointer": "/consent", "detail": "needs an e-mail address in the cart first"}
    ]


async def test_an_address_that_unsubscribed_is_left_alone_whatever_cart_names_it(resources: Resources) -> None:
    email, later = somebody(), datetime.now(UTC) + 2 * DAY
    written = await a_left_cart(resources, email)
    assert (await look(resources, written, later)).sent == 1  # and its letter is not carried yet

    async with resources.sessions.begin() as session:
        for _ in range(2):
            await cart_reminders.unsubscribe(session, cart_reminders.address_hash(email))

    other = await a_left_cart(resources, f" {email.upper()} ".strip())
    for cart_id, sent in ((written, 1), (other, 0)):
        assert await look(resources, cart_id, later + DAY) == CartStanding(look_again_at=None, sent=sent)
    async with resources.sessions() as session:
        assert await cart_reminders.still_wanted(session, [written, other]) == {}


async def test_many_carts_bring_an_address_no_more_mails_than_one(resources: Resources) -> None:
    email, later = somebody(), datetime.now(UTC) + 2 * DAY
    left = [await a_left_cart(resources, email) for _ in range(3)]

    sent = [(await look(resources, cart_id, later)).sent for cart_id in left]

    assert sent == [1, 1, 0]
