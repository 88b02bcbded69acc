"""Codes of an authenticator app at sign-in, and what helps when the phone is lost."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pyotp
import pytest
from sqlalchemy import select, text

from api.identity import role_for_now
from db import customers
from db.second_factors import RecoveryCode, SecondFactor
from db.tokens import hash_of
from domain.customers import Role
from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.people import PASSWORD, Person, a_verified_person, mails_to

FACTOR = "/v1/users/me/second-factor"
STEP = timedelta(seconds=30)


@pytest.fixture
async def person(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    return await (await a_verified_person(api, sandbox)).sign_in()


async def post(person: Person, path: str, **body: str) -> httpx.Response:
    return await person.http.post(f"{FACTOR}{path}", json=body, headers=person.headers)


async def shared_secret(person: Person) -> str:
    shared = await post(person, "", current_password=PASSWORD)
    assert shared.status_code == 201, shared.text
    secret: str = shared.json()["secret"]
    return secret


def code_at(secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(datetime.now(UTC) + steps * STEP)


async def turned_on(person: Person, resources: Resources) -> tuple[str, list[str]]:
    """The secret and the recovery codes of somebody whose app has shown its first code a while ago."""
    secret = await shared_secret(person)
    confirmed = await post(person, "/confirm", code=code_at(secret))
    assert confirmed.status_code == 200, confirmed.text
    await forget_the_step(person, resources)
    return secret, confirmed.json()["recovery_codes"]


async def forget_the_step(person: Person, resources: Resources) -> None:
    """As if the last code had been used long ago."""
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE second_factors SET last_step = 1 FROM users WHERE id = user_id AND email = :email"),
            {"email": person.email},
        )


async def shown(person: Person) -> dict[str, Any]:
    told: dict[str, Any] = (await person.http.get(FACTOR, headers=person.headers)).json()
    return told


async def test_codes_are_asked_for_once_the_first_one_has_come(
    person: Person, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    phone = await Person(person.http, username=person.username, email=person.email).sign_in()
    assert await shown(person) == {"is_enabled": False, "recovery_codes_left": 0}
    secret = await shared_secret(person)
    assert (await person.log_in()).status_code == 200

    confirmed = await post(person, "/confirm", code=code_at(secret))

    assert confirmed.status_code == 200
    assert len(set(confirmed.json()["recovery_codes"])) == 10
    assert await shown(person) == {"is_enabled": True, "recovery_codes_left": 10}
    assert code_of(await phone.me()) == (401, "unauthenticated")
    assert code_of(await person.log_in()) == (401, "second_factor_required")
    assert code_of(await person.log_in(password="not the password")) == (401, "invalid_credentials")
    await forget_the_step(person, resources)
    assert (await person.log_in(code=code_at(secret))).status_code == 200
    assert (await mails_to(sandbox, person.email, at_least=2))[-1]["subject"] == "Sutler: how you sign in was changed"


async def test_the_uri_is_what_apps_read_from_a_qr_code(person: Person) -> None:
    shared = (await post(person, "", current_password=PASSWORD)).json()

    read = pyotp.parse_uri(shared["uri"])

    assert (read.issuer, read.name) == ("Sutler", person.email)
    assert isinstance(read, pyotp.TOTP)
    assert read.secret == shared["secret"]


async def test_a_code_is_taken_once_also_when_it_comes_many_times_at_once(person: Person, resources: Resources) -> None:
    secret, _ = await turned_on(person, resources)
    code = code_at(secret)

    answers = await asyncio.gather(*(person.log_in(code=code) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 2
    assert {one.json()["code"] for one in answers if one.status_code == 401} == {"second_factor_wrong"}
    assert code_of(await person.log_in(code=code)) == (401, "second_factor_wrong")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda secret: code_at(secret, 3),
        lambda secret: code_at(secret, -3),
        lambda secret: str((int(code_at(secret)) + 500_000) % 1_000_000).zfill(6),
        lambda secret: "",
        lambda secret: "AAAA-BBBB-CCCC-DDDD",
    ],
    ids=["too new", "too old", "wrong", "empty", "no recovery code"],
)
async def test_a_wrong_code_signs_nobody_in(person: Person, resources: Resources, wrong: Callable[[str], str]) -> None:
    secret, _ = await turned_on(person, resources)

    assert code_of(await person.log_in(code=wrong(secret))) == (401, "second_factor_wrong")

    assert (await shown(person))["recovery_codes_left"] == 10


async def test_a_clock_may_be_a_step_off(person: Person, resources: Resources) -> None:
    secret, _ = await turned_on(person, resources)

    assert (await person.log_in(code=code_at(secret, 1))).status_code == 200
    assert code_of(await person.log_in(code=code_at(secret))) == (401, "second_factor_wrong")  # older than the last


async def test_a_recovery_code_takes_the_place_of_the_app_once(person: Person, resources: Resources) -> None:
    _, [first, second, *_] = await turned_on(person, resources)

    assert (await person.log_in(code=first.lower().replace("-", " "))).status_code == 200
    assert code_of(await person.log_in(code=first)) == (401, "second_factor_wrong")
    assert (await person.log_in(code=second)).status_code == 200

    assert (await shown(person))["recovery_codes_left"] == 8


async def test_the_secret_is_stored_sealed_and_recovery_codes_as_hashes(person: Person, resources: Resources) -> None:
    secret, codes = await turned_on(person, resources)
    user_id = UUID((await person.me()).json()["id"])

    async with resources.sessions() as session:
        stored = (await session.scalars(select(SecondFactor).where(SecondFactor.user_id == user_id))).one()
        hashes = set(await session.scalars(select(RecoveryCode.code_hash).where(RecoveryCode.user_id == user_id)))

    assert secret.encode() not in stored.sealed_secret
    assert resources.seal.open(stored.sealed_secret, user_id.bytes).decode() == secret
    assert hashes == {hash_of(code.replace("-", "")) for code in codes}


async def test_it_is_turned_off_with_the_password_and_a_code(person: Person, resources: Resources) -> None:
    secret, _ = await turned_on(person, resources)

    for wrong, pointer in (
        ({"current_password": "not the password", "code": code_at(secret)}, "/current_password"),
        ({"current_password": PASSWORD, "code": code_at(secret, 5)}, "/code"),
    ):
        refused = await post(person, "/disable", **wrong)
        assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
        assert (await shown(person))["is_enabled"] is True

    assert (await post(person, "/disable", current_password=PASSWORD, code=code_at(secret))).status_code == 204
    assert await shown(person) == {"is_enabled": False, "recovery_codes_left": 0}
    assert (await person.log_in()).status_code == 200


async def test_an_admin_helps_somebody_who_has_lost_their_phone(
    person: Person, admin: dict[str, str], operator: dict[str, str], resources: Resources
) -> None:
    await turned_on(person, resources)
    path = f"/v1/admin/users/{(await person.me()).json()['id']}/second-factor"
    for headers, status in (({}, 401), (person.headers, 403), (operator, 403)):
        assert (await person.http.delete(path, headers=headers)).status_code == status
    assert code_of(await person.log_in()) == (401, "second_factor_required")

    assert (await person.http.delete(path, headers=admin)).status_code == 204

    assert code_of(await person.me()) == (401, "unauthenticated")
    assert (await person.log_in()).status_code == 200
    assert code_of(await person.http.delete(path, headers=admin)) == (404, "not_found")


async def test_a_thief_of_a_session_can_neither_set_nor_replace_it(person: Person, resources: Resources) -> None:
    refused = await post(person, "", current_password="not the password")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/current_password"]
    assert [error["pointer"] for error in (await post(person, "/confirm", code="123456")).json()["errors"]] == ["/code"]
    assert (await shown(person))["is_enabled"] is False

    secret, _ = await turned_on(person, resources)
    assert code_of(await post(person, "", current_password=PASSWORD)) == (409, "second_factor_enabled")
    assert code_of(await post(person, "/confirm", code=code_at(secret))) == (409, "second_factor_enabled")
    assert (await person.log_in(code=code_at(secret))).status_code == 200


async def test_staff_without_a_second_factor_may_do_what_customers_may_where_they_need_one(
    person: Person, resources: Resources
) -> None:
    strict = replace(
        resources,
        settings=resources.settings.model_copy(
            update={"auth": resources.settings.auth.model_copy(update={"staff_needs_second_factor": True})}
        ),
    )
    async with resources.sessions.begin() as session:
        await session.execute(text("UPDATE users SET role = 'operator' WHERE email = :email"), {"email": person.email})
    await person.sign_in()

    async def role_in(shop: Resources) -> Role:
        async with resources.sessions() as session:
            user = await customers.by_email_with_hash(session, person.email)
            assert user
            return await role_for_now(user, session, shop)

    assert (await role_in(resources), await role_in(strict)) == (Role.OPERATOR, Role.CUSTOMER)
    await turned_on(person, resources)
    assert await role_in(strict) is Role.OPERATOR
