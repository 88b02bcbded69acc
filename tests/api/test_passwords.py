"""Which passwords are taken, and how one is changed by somebody who is signed in."""

import httpx
import pytest
from sqlalchemy import func, select

from db.customers import User
from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.people import PASSWORD, Person, a_verified_person, mails_to

NEW = "another horse, another battery"
STOLEN = {
    "iloveyou": "This password is on the lists of stolen passwords that are tried first, or close to one that is.",
    "correct horse battery staple": (
        "This password was stolen somewhere and is on the lists that are tried. Choose another one."
    ),
}
"""One that is easy to guess, and one that is not."""


@pytest.fixture
async def person(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    return await (await a_verified_person(api, sandbox)).sign_in()


async def change(person: Person, **wanted: str) -> httpx.Response:
    return await person.http.patch("/v1/users/me", json=wanted, headers=person.headers)


async def hash_stored(resources: Resources, person: Person) -> str:
    async with resources.sessions() as session:
        return (await session.scalars(select(User.password_hash).where(User.email == person.email))).one()


@pytest.mark.parametrize("stolen", STOLEN)
async def test_nobody_registers_with_a_stolen_password(
    api: httpx.AsyncClient, resources: Resources, stolen: str
) -> None:
    person = Person(api)

    refused = await person.register(password=stolen)

    assert code_of(refused) == (422, "validation_failed")
    assert refused.json()["errors"] == [{"pointer": "/password", "detail": STOLEN[stolen]}]
    async with resources.sessions() as session:
        assert await session.scalar(select(func.count()).where(User.email == person.email)) == 0


async def test_nobody_registers_with_their_own_name_as_password(api: httpx.AsyncClient) -> None:
    person = Person(api)

    refused = await person.register(password=person.username)

    assert code_of(refused) == (422, "validation_failed")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/password"]
    assert person.username not in refused.text


async def test_whoever_knows_their_password_changes_it_and_signs_out_all_others(
    api: httpx.AsyncClient, person: Person, sandbox: httpx.AsyncClient
) -> None:
    elsewhere = await Person(api, username=person.username, email=person.email).sign_in()
    before = (await person.me()).json()

    changed = await change(person, password=NEW, current_password=PASSWORD)

    assert changed.status_code == 200
    assert changed.json() == before
    assert (await person.me()).status_code == 200
    assert (await person.refresh()).status_code == 200
    assert code_of(await elsewhere.me()) == (401, "unauthenticated")
    assert code_of(await elsewhere.refresh()) == (401, "refresh_token_invalid")
    assert code_of(await person.log_in()) == (401, "invalid_credentials")
    assert (await person.log_in(password=NEW)).status_code == 200
    assert (await mails_to(sandbox, person.email, at_least=2))[-1]["subject"] == "Sutler: your password was changed"


@pytest.mark.parametrize("current", [None, "", "not the password"])
async def test_without_the_current_password_nothing_changes(
    api: httpx.AsyncClient, person: Person, resources: Resources, current: str | None
) -> None:
    elsewhere = await Person(api, username=person.username, email=person.email).sign_in()
    before, profile = await hash_stored(resources, person), (await person.me()).json()
    knows = {} if current is None else {"current_password": current}

    refused = await change(person, password=NEW, username="somebody.else", **knows)

    assert code_of(refused) == (422, "validation_failed")
    assert refused.json()["errors"] == [
        {"pointer": "/current_password", "detail": "This is not your current password."}
    ]
    assert await hash_stored(resources, person) == before
    assert (await person.me()).json() == profile
    assert (await elsewhere.me()).status_code == 200


@pytest.mark.parametrize("stolen", STOLEN)
async def test_a_password_is_not_changed_to_a_stolen_one(person: Person, resources: Resources, stolen: str) -> None:
    before = await hash_stored(resources, person)

    refused = await change(person, password=stolen, current_password=PASSWORD)

    assert code_of(refused) == (422, "validation_failed")
    assert refused.json()["errors"] == [{"pointer": "/password", "detail": STOLEN[stolen]}]
    assert await hash_stored(resources, person) == before


async def test_a_taken_username_leaves_the_password_as_it_is(
    api: httpx.AsyncClient, person: Person, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    other = await a_verified_person(api, sandbox)
    before = await hash_stored(resources, person)

    refused = await change(person, password=NEW, current_password=PASSWORD, username=other.username)

    assert code_of(refused) == (409, "username_taken")
    assert await hash_stored(resources, person) == before


async def test_whoever_found_a_session_does_not_guess_its_password(person: Person, resources: Resources) -> None:
    before = await hash_stored(resources, person)

    told = [code_of(await change(person, password=NEW, current_password=f"guess {n}")) for n in range(12)]

    assert told[:5] == [(422, "validation_failed")] * 5
    assert (429, "rate_limited") in told[5:]
    assert await hash_stored(resources, person) == before
    assert (await person.log_in()).status_code == 200  # the owner is kept out of nothing
    assert (await change(await person.sign_in(), password=NEW, current_password=PASSWORD)).status_code == 200
