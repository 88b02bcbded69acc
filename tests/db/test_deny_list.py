"""Sessions that were ended, told fast by Valkey and truly by Postgres."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from db import customers, sessions
from db.deny_list import DenyList
from domain.customers import Role
from runtime.resources import Resources
from tests.support.processes import free_port


def list_in(redis: Redis, resources: Resources, prefix: str) -> DenyList:
    return DenyList(redis, resources.sessions, prefix=prefix, access_seconds=900)


@pytest.fixture
def prefix() -> str:
    return f"{uuid4()}:"


@pytest.fixture
def deny_list(resources: Resources, prefix: str) -> DenyList:
    return list_in(resources.redis, resources, prefix)


@pytest.fixture
async def nowhere() -> AsyncIterator[Redis]:
    """A Valkey that is away."""
    redis = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    yield redis
    await redis.aclose()


async def a_session(resources: Resources, lasts: timedelta = timedelta(days=1)) -> UUID:
    name = f"ada.{uuid4().hex[:12]}"
    async with resources.sessions.begin() as session:
        await customers.make_verified(
            session, username=name, email=f"{name}@example.com", password_hash="x", role=Role.CUSTOMER
        )
        user = await customers.by_email_with_hash(session, f"{name}@example.com")
        assert user
        return await sessions.sign_in(session, user.id, token_hash=uuid4().bytes, lasts=lasts)


async def end(resources: Resources, session_id: UUID) -> None:
    async with resources.sessions.begin() as session:
        await sessions.sign_out(session, session_id)


async def test_a_session_is_held_from_the_moment_it_was_added(deny_list: DenyList, resources: Resources) -> None:
    session_id, other = await a_session(resources), await a_session(resources)
    assert not await deny_list.holds(session_id)

    await end(resources, session_id)
    await deny_list.add(session_id)

    assert await deny_list.holds(session_id)
    assert not await deny_list.holds(other)


async def test_an_entry_lives_as_long_as_an_access_token(
    deny_list: DenyList, resources: Resources, prefix: str
) -> None:
    session_id = await a_session(resources)
    await deny_list.add(session_id)
    assert 890 <= await resources.redis.ttl(f"{prefix}deny:{session_id}") <= 900


async def test_once_the_list_is_whole_a_check_does_not_ask_postgres(resources: Resources, prefix: str) -> None:
    deny_list = list_in(resources.redis, resources, prefix)
    session_id = await a_session(resources)
    await deny_list.holds(session_id)

    async with resources.sessions.begin() as session:
        await sessions.sign_out(session, session_id)

    assert not await deny_list.holds(session_id)  # nobody told the list


async def test_without_valkey_postgres_is_asked(nowhere: Redis, resources: Resources, prefix: str) -> None:
    deny_list = list_in(nowhere, resources, prefix)
    session_id = await a_session(resources)
    assert not await deny_list.holds(session_id)

    await end(resources, session_id)
    await deny_list.add(session_id)

    assert await deny_list.holds(session_id)


@pytest.mark.parametrize("lasts", [timedelta(0), timedelta(seconds=-1)])
async def test_without_valkey_a_session_that_ran_out_is_held(
    nowhere: Redis, resources: Resources, prefix: str, lasts: timedelta
) -> None:
    assert await list_in(nowhere, resources, prefix).holds(await a_session(resources, lasts))


async def test_a_valkey_that_lost_everything_is_told_again(resources: Resources, prefix: str) -> None:
    deny_list = list_in(resources.redis, resources, prefix)
    session_id, other = await a_session(resources), await a_session(resources)
    await deny_list.holds(other)
    await end(resources, session_id)
    await deny_list.add(session_id)

    keys = [key async for key in resources.redis.scan_iter(match=f"{prefix}*")]
    await resources.redis.delete(*keys)

    assert not await deny_list.holds(other)
    assert await deny_list.holds(session_id)
    assert await resources.redis.get(f"{prefix}deny:{session_id}") == b"1"


async def test_a_session_ended_while_valkey_was_away_stays_ended_when_it_is_back(
    nowhere: Redis, resources: Resources, prefix: str
) -> None:
    deny_list = list_in(resources.redis, resources, prefix)
    session_id, other = await a_session(resources), await a_session(resources)
    await deny_list.holds(other)

    deny_list._redis = nowhere
    await end(resources, session_id)
    await deny_list.add(session_id)
    deny_list._redis = resources.redis

    assert not await deny_list.holds(other)
    assert await deny_list.holds(session_id)
