"""Who somebody is: kept in Valkey for a while, and never a moment longer than it is true."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import httpx
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import text

from api.profiles import Profiles, account_news
from db import customers
from db.listening import Listening
from domain.customers import Role
from runtime.cache.shared import SharedCache
from runtime.resources import Resources
from tests.support.people import a_verified_person
from tests.support.processes import free_port
from tests.support.statements import counted_statements
from tests.support.waiting import eventually

HASH = "$2b$12$planted-and-kept-nowhere-else"


@asynccontextmanager
async def listening(resources: Resources, *prefixes: str) -> AsyncIterator[list[Profiles]]:
    """As API processes have it, one for each of the prefixes, told of changes by Postgres."""
    shared = [SharedCache(resources.redis, prefix=prefix, seconds=300) for prefix in prefixes]
    all_profiles = [Profiles(resources.autocommit, one) for one in shared]
    channel = account_news(resources.settings.database.shop_schema, all_profiles)
    task = asyncio.create_task(Listening(resources.engine.url, channel).run())
    try:

        async def are_told() -> bool:
            return all(profiles.is_told for profiles in all_profiles)

        await eventually(are_told)
        yield all_profiles
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}:"


@pytest.fixture
async def account(resources: Resources) -> UUID:
    name = f"ada.{uuid4().hex[:12]}"
    async with resources.sessions.begin() as session:
        await customers.make_verified(
            session, username=name, email=f"{name}@example.com", password_hash=HASH, role=Role.CUSTOMER
        )
        found = await customers.by_email_with_hash(session, f"{name}@example.com")
    assert found is not None
    return found.id


async def change(resources: Resources, account: UUID, what: str) -> None:
    """By anybody: a worker, an operator's SQL, code that does not know of the cache."""
    async with resources.sessions.begin() as session:
        await session.execute(text(f"UPDATE users SET {what} WHERE id = :id"), {"id": account})  # noqa: S608


async def test_valkey_holds_the_profile_and_no_more_for_almost_five_minutes(
    resources: Resources, prefix: str, account: UUID
) -> None:
    async with listening(resources, prefix) as [profiles]:
        shown = await profiles.of(account)

    assert shown is not None
    [key] = [key async for key in resources.redis.scan_iter(match=f"{prefix}*:user:{account}")]
    [(field, kept)] = (await resources.redis.hgetall(key)).items()
    assert field == b"profile_with_groups"
    assert json.loads(kept) == shown.model_dump(mode="json")
    assert set(json.loads(kept)) == {"id", "username", "email", "role", "status", "groups", "created_at"}
    assert (HASH.encode() in kept, b"planted" in kept) == (False, False)
    assert 269 <= await resources.redis.ttl(key) <= 300


async def test_postgres_is_asked_once_however_many_ask_and_whether_there_is_such_an_account_or_not(
    resources: Resources, prefix: str, account: UUID
) -> None:
    async with listening(resources, prefix, prefix) as [one, other]:
        for profiles in (one, other):
            await profiles.of(uuid4())  # who begins to listen begins with an empty Valkey
        for asked in (account, uuid4()):
            with counted_statements(resources.engine) as statements:
                first = await asyncio.gather(*(one.of(asked) for _ in range(100)))
                again = [await one.of(asked), await other.of(asked)]

            assert len(statements) == 1
            assert {shown.id if shown else None for shown in [*first, *again]} == {
                account if asked == account else None
            }


async def test_what_anybody_changes_is_seen_by_every_process(resources: Resources, prefix: str, account: UUID) -> None:
    async with listening(resources, prefix, prefix) as all_profiles:
        for profiles in all_profiles:
            await profiles.of(account)
        name = f"grace.{uuid4().hex[:12]}"
        await change(resources, account, f"username = '{name}', role = 'operator'")

        for profiles in all_profiles:

            async def is_new(profiles: Profiles = profiles) -> bool:
                shown = await profiles.of(account)
                return shown is not None and (shown.username, shown.role) == (name, Role.OPERATOR)

            await eventually(is_new)


async def test_an_account_that_is_not_active_or_gone_is_nobody_at_once_and_comes_back_with_its_status(
    resources: Resources, prefix: str, account: UUID
) -> None:
    async with listening(resources, prefix, prefix) as all_profiles:

        async def are_shown() -> list[bool]:
            return [await profiles.of(account) is not None for profiles in all_profiles]

        async def all_show_it() -> bool:
            return await are_shown() == [True, True]

        async def none_shows_it() -> bool:
            return await are_shown() == [False, False]

        assert await all_show_it()
        await change(resources, account, "status = 'pending_verification'")
        await eventually(none_shows_it)
        await change(resources, account, "status = 'active'")
        await eventually(all_show_it)
        async with resources.sessions.begin() as session:
            await session.execute(text("DELETE FROM users WHERE id = :id"), {"id": account})
        await eventually(none_shows_it)


async def test_what_was_read_before_a_change_is_not_kept_after_it(
    resources: Resources, prefix: str, account: UUID
) -> None:
    """The slow reader has its lease when the change comes, and fills when it was told of."""
    async with listening(resources, prefix, prefix) as [slow, other]:
        name, taken = f"user:{account}", "profile_with_groups"
        _, leases = await slow._shared.get([name], taken)
        await other.forget(account)
        await slow._shared.fill(taken, {name: b"what it was"}, leases)

        shown = await other.of(account)

    assert shown is not None
    assert shown.id == account


async def test_a_process_that_is_not_told_of_changes_takes_nothing_from_valkey(
    resources: Resources, prefix: str, account: UUID
) -> None:
    async with listening(resources, prefix) as [told]:
        await told.of(account)
    deaf = Profiles(resources.autocommit, SharedCache(resources.redis, prefix=prefix, seconds=300))
    await change(resources, account, "role = 'admin'")

    shown = await deaf.of(account)

    assert shown is not None
    assert shown.role is Role.ADMIN


async def test_without_valkey_postgres_answers(resources: Resources, prefix: str, account: UUID) -> None:
    nowhere = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    profiles = Profiles(resources.autocommit, SharedCache(nowhere, prefix=prefix, seconds=300))
    await profiles.begin()

    shown = await profiles.of(account)
    await profiles.forget(account)

    assert shown is not None
    assert shown.id == account
    await nowhere.aclose()


async def test_who_renames_themselves_reads_the_new_name_back_from_any_process(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    person = await (await a_verified_person(api, sandbox)).sign_in()
    before, again = (await person.me()).json(), (await person.me()).json()
    async with listening(resources, f"{resources.settings.cache.prefix}accounts:") as [elsewhere]:
        known = await elsewhere.of(UUID(before["id"]))
        for name in (f"grace.{uuid4().hex[:12]}" for _ in range(5)):
            renamed = await api.patch("/v1/users/me", json={"username": name}, headers=person.headers)
            shown = await elsewhere.of(UUID(before["id"]))

            assert shown is not None
            assert (renamed.json()["username"], shown.username) == (name, name)
            assert (await person.me()).json() == {**before, "username": name}

    assert before == again
    assert known is not None
    assert known.username == before["username"]


async def test_an_account_that_is_not_active_any_more_is_not_found(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    person = await (await a_verified_person(api, sandbox)).sign_in()
    known = (await person.me()).json()
    await change(resources, UUID(known["id"]), "status = 'pending_verification'")

    async def is_refused() -> httpx.Response | None:
        answer = await person.me()
        return answer if answer.status_code != 200 else None

    refused = await eventually(is_refused)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert known["email"] not in refused.text
