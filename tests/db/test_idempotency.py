"""A key of a caller stands for one wish, without an end."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from db import idempotency
from db.base import new_id
from db.idempotency import Known, Named
from domain.errors import Refusal
from runtime.resources import Resources


def a_name(**otherwise: object) -> Named:
    facts = {"caller": f"customer:{uuid4()}", "key": str(uuid4()), "request_hash": b"one request"}
    return Named(**{**facts, **otherwise})  # type: ignore[arg-type]


async def take_in(resources: Resources, named: Named) -> Known | None:
    async with resources.sessions.begin() as session:
        return await idempotency.take_in(session, named, new_id())


async def test_a_key_means_one_wish_for_ever(resources: Resources) -> None:
    named = a_name()

    known = await asyncio.gather(*(take_in(resources, named) for _ in range(50)))

    assert len([one for one in known if one is None]) == 1
    assert len({one.wish_id for one in known if one}) == 1
    with pytest.raises(Refusal, match="idempotency_key_reused"):
        await take_in(resources, replace(named, request_hash=b"another request"))


async def test_the_same_key_of_another_account_is_another_wish(resources: Resources) -> None:
    named = a_name()

    assert await take_in(resources, named) is None
    assert await take_in(resources, replace(named, caller=f"customer:{uuid4()}")) is None


async def test_a_guest_may_repeat_a_wish_from_another_address(resources: Resources) -> None:
    at_home = a_name(caller="guest:1111", cart_id=uuid4())
    await take_in(resources, at_home)
    async with resources.sessions.begin() as session:
        await idempotency.remember(session, at_home, 201, {"status": "confirmed"})

    on_the_train = await take_in(resources, replace(at_home, caller="guest:2222"))

    assert on_the_train is not None
    assert (on_the_train.answer_status, on_the_train.answer) == (201, {"status": "confirmed"})
    with pytest.raises(Refusal, match="idempotency_key_reused"):
        await take_in(resources, replace(at_home, caller="guest:2222", request_hash=b"another request"))


async def test_a_guest_never_gets_what_another_one_with_the_same_key_was_told(resources: Resources) -> None:
    mine = a_name(caller="guest:1111", cart_id=uuid4(), request_hash=b"my cart")
    theirs = replace(mine, caller="guest:2222", cart_id=uuid4(), request_hash=b"their cart")
    await take_in(resources, mine)

    assert await take_in(resources, theirs) is None
    with pytest.raises(Refusal, match="idempotency_key_reused"):
        await take_in(resources, replace(theirs, caller="guest:1111", cart_id=uuid4()))
    now_at_my_address = await take_in(resources, replace(theirs, caller="guest:1111"))
    assert now_at_my_address is not None
    assert now_at_my_address.answer is None


async def test_the_first_answer_stays(resources: Resources) -> None:
    named = a_name()
    await take_in(resources, named)

    for status, answer in ((201, {"status": "confirmed"}), (409, {"code": "out_of_stock"})):
        async with resources.sessions.begin() as session:
            told = await idempotency.remember(session, named, status, answer)
        assert (told.answer_status, told.answer) == (201, {"status": "confirmed"})

    known = await take_in(resources, named)
    assert known is not None
    assert (known.answer_status, known.answer) == (201, {"status": "confirmed"})
