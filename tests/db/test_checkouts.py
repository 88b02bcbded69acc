"""The wish to order a cart: written down once, answered the same however often it is repeated."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text

from db import checkouts
from db.checkouts import Intake, Wish
from domain.errors import Refusal
from runtime.resources import Resources
from tests.support.orders import a_cart, a_wish


async def take_in(resources: Resources, wish: Wish) -> Intake:
    """As the API does it: a repeated wish gets its own checkout again, a new one its own or its cart's."""
    async with resources.sessions.begin() as session:
        return await checkouts.repeated(session, wish) or await checkouts.take_in(session, wish)


async def refuse(resources: Resources, order_id: UUID) -> None:
    async with resources.sessions.begin() as session:
        await checkouts.refuse(session, order_id)


async def alive(resources: Resources, cart_id: UUID) -> int:
    async with resources.sessions() as session:
        found = await session.scalar(
            text("SELECT count(*) FROM checkouts WHERE cart_id = :id AND NOT is_refused"), {"id": cart_id}
        )
    return int(found or 0)


async def test_a_new_wish_gets_ids_of_its_own(resources: Resources) -> None:
    cart = await a_cart(resources.sessions)

    intake = await take_in(resources, a_wish(cart, expected_total=4497))

    assert (intake.cart_id, intake.payment_method, intake.expected_total) == (cart, "pm_card_visa", 4497)
    assert intake.order_id != intake.payment_id
    assert intake.order_number > 1000
    assert (intake.answer, intake.is_repeat) == (None, False)


async def test_the_same_key_again_is_the_same_checkout_and_known_as_a_repetition(resources: Resources) -> None:
    wish = a_wish(await a_cart(resources.sessions))
    first = await take_in(resources, wish)

    assert await take_in(resources, wish) == replace(first, is_repeat=True)


async def test_the_same_key_with_another_request_is_refused(resources: Resources) -> None:
    wish = a_wish(await a_cart(resources.sessions))
    first = await take_in(resources, wish)

    with pytest.raises(Refusal) as refused:
        await take_in(resources, replace(wish, request_hash=b"another request"))

    assert refused.value.code == "idempotency_key_reused"
    assert await take_in(resources, wish) == replace(first, is_repeat=True)


async def test_the_same_key_of_another_caller_is_another_key(resources: Resources) -> None:
    one, other = await a_cart(resources.sessions), await a_cart(resources.sessions)
    mine = a_wish(one, idempotency_key="order-1")
    theirs = a_wish(other, idempotency_key="order-1", request_hash=b"theirs")

    assert (await take_in(resources, mine)).order_id != (await take_in(resources, theirs)).order_id


async def test_another_key_for_a_cart_that_is_on_its_way_joins_its_checkout(resources: Resources) -> None:
    cart = await a_cart(resources.sessions)
    first = await take_in(resources, a_wish(cart))

    joined = await take_in(resources, a_wish(cart, payment_method="pm_card_mastercard"))

    assert joined == first
    assert await alive(resources, cart) == 1


async def test_a_cart_whose_checkout_was_refused_starts_another(resources: Resources) -> None:
    cart = await a_cart(resources.sessions)
    first = await take_in(resources, a_wish(cart))
    await refuse(resources, first.order_id)

    second = await take_in(resources, a_wish(cart))

    assert second.order_id != first.order_id
    assert await alive(resources, cart) == 1


async def test_the_key_of_a_refused_checkout_still_stands_for_it(resources: Resources) -> None:
    wish = a_wish(await a_cart(resources.sessions))
    first = await take_in(resources, wish)
    await refuse(resources, first.order_id)

    assert (await take_in(resources, wish)).order_id == first.order_id


async def test_fifty_twins_with_one_key_are_one_checkout(resources: Resources) -> None:
    cart = await a_cart(resources.sessions)
    wish = a_wish(cart)

    intakes = await asyncio.gather(*(take_in(resources, wish) for _ in range(50)))

    assert len({intake.order_id for intake in intakes}) == 1
    assert await alive(resources, cart) == 1


async def test_fifty_twins_with_keys_of_their_own_are_one_checkout(resources: Resources) -> None:
    cart = await a_cart(resources.sessions)

    intakes = await asyncio.gather(*(take_in(resources, a_wish(cart)) for _ in range(50)))

    assert len({(intake.order_id, intake.order_number, intake.payment_id) for intake in intakes}) == 1
    assert await alive(resources, cart) == 1


async def test_one_key_for_two_carts_at_once_is_refused_to_one_of_them(resources: Resources) -> None:
    for _ in range(10):
        one, other = await a_cart(resources.sessions), await a_cart(resources.sessions)
        wish = a_wish(one, request_hash=b"one")
        twin = replace(wish, cart_id=other, request_hash=b"other")

        outcomes = await asyncio.gather(take_in(resources, wish), take_in(resources, twin), return_exceptions=True)

        refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
        assert [refusal.code for refusal in refused] == ["idempotency_key_reused"]
        assert await alive(resources, one) + await alive(resources, other) == 1


async def test_the_first_answer_stays(resources: Resources) -> None:
    wish = a_wish(await a_cart(resources.sessions))
    intake = await take_in(resources, wish)

    async with resources.sessions.begin() as session:
        await checkouts.remember_answer(session, intake.order_id, 201, {"status": "confirmed"})
    async with resources.sessions.begin() as session:
        await checkouts.remember_answer(session, intake.order_id, 409, {"code": "out_of_stock"})

    again = await take_in(resources, wish)
    assert (again.answer_status, again.answer, again.is_repeat) == (201, {"status": "confirmed"}, True)


async def test_order_numbers_rise(resources: Resources) -> None:
    numbers = [(await take_in(resources, a_wish(await a_cart(resources.sessions)))).order_number for _ in range(3)]

    assert numbers == sorted(set(numbers))
