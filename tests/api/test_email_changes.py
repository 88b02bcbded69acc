"""Another e-mail address: both mailboxes have to agree, and either can refuse."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select, text

from db.confirmations import Confirmation
from domain.confirmations import ConfirmationOutcome
from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.histories import told_of
from tests.support.people import PASSWORD, Person, a_verified_person, mailed_token, mails_to
from workflows.names import confirmation_id

PAGE = "email-change"


@pytest.fixture
async def person(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    return await (await a_verified_person(api, sandbox)).sign_in()


@pytest.fixture
def new_email() -> str:
    return f"new.{uuid4().hex[:12]}@example.com"


async def ask(person: Person, email: str, password: str = PASSWORD) -> httpx.Response:
    return await person.http.post(
        "/v1/users/me/email", json={"email": email, "current_password": password}, headers=person.headers
    )


async def answer(person: Person, token: str, word: str = "confirm") -> httpx.Response:
    return await person.http.post(f"/v1/auth/email-change/{word}", json={"token": token})


async def email_of(person: Person) -> str:
    email: str = (await person.me()).json()["email"]
    return email


async def wish_for(resources: Resources, email: str) -> Confirmation:
    async with resources.sessions() as session:
        return (await session.scalars(select(Confirmation).where(Confirmation.email == email))).one()


async def test_the_address_changes_when_both_mailboxes_have_agreed(
    person: Person, sandbox: httpx.AsyncClient, resources: Resources, new_email: str
) -> None:
    asked = await ask(person, new_email)
    assert (asked.status_code, asked.json()) == (202, {"status": "waiting_for_both"})
    old, new = [await mailed_token(sandbox, email, PAGE) for email in (person.email, new_email)]

    first = await answer(person, new)
    assert (first.status_code, first.json()) == (200, {"status": "waiting_for_the_other"})
    assert await email_of(person) == person.email
    second = await answer(person, old)
    assert (second.status_code, second.json()) == (200, {"status": "changed"})

    assert await email_of(person) == new_email
    assert code_of(await person.log_in()) == (401, "invalid_credentials")
    assert (await person.log_in(email=new_email)).status_code == 200
    wish = await wish_for(resources, new_email)
    story = resources.temporal.get_workflow_handle(confirmation_id(wish.id), result_type=ConfirmationOutcome)
    assert await story.result() is ConfirmationOutcome.CONFIRMED
    told = await told_of(resources.temporal, confirmation_id(wish.id))
    for secret in (old, new, person.email, new_email, person.username):
        assert secret not in told


@pytest.mark.parametrize("who", ["old", "new"])
async def test_one_mailbox_alone_changes_nothing_however_often_it_agrees(
    person: Person, sandbox: httpx.AsyncClient, new_email: str, who: str
) -> None:
    await ask(person, new_email)
    token = await mailed_token(sandbox, person.email if who == "old" else new_email, PAGE)

    answers = await asyncio.gather(*(answer(person, token) for _ in range(3)))

    assert [(one.status_code, one.json()) for one in answers] == [(200, {"status": "waiting_for_the_other"})] * 3
    assert await email_of(person) == person.email


async def test_the_old_mailbox_can_refuse_which_ends_all_sessions(
    person: Person, sandbox: httpx.AsyncClient, resources: Resources, new_email: str
) -> None:
    await ask(person, new_email)
    old, new = [await mailed_token(sandbox, email, PAGE) for email in (person.email, new_email)]
    await answer(person, new)

    refused = await answer(person, old, "refuse")

    assert (refused.status_code, refused.json()) == (200, {"status": "refused"})
    assert code_of(await person.me()) == (401, "unauthenticated")
    for token in (old, new):
        for word in ("confirm", "refuse"):
            assert code_of(await answer(person, token, word)) == (410, "token_expired")
    await person.sign_in()
    assert await email_of(person) == person.email
    story = resources.temporal.get_workflow_handle(
        confirmation_id((await wish_for(resources, new_email)).id), result_type=ConfirmationOutcome
    )
    assert await story.result() is ConfirmationOutcome.REFUSED


async def test_nobody_changes_the_address_without_the_password(
    person: Person, sandbox: httpx.AsyncClient, new_email: str
) -> None:
    refused = await ask(person, new_email, "not the password")

    assert code_of(refused) == (422, "validation_failed")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/current_password"]
    assert len(await mails_to(sandbox, person.email)) == 1
    assert await email_of(person) == person.email


async def test_an_address_that_is_taken_is_refused_when_asked_and_when_it_was_taken_since(
    person: Person, api: httpx.AsyncClient, sandbox: httpx.AsyncClient, new_email: str
) -> None:
    other = await a_verified_person(api, sandbox)
    assert code_of(await ask(person, other.email.upper())) == (409, "email_taken")
    await ask(person, new_email)
    old, new = [await mailed_token(sandbox, email, PAGE) for email in (person.email, new_email)]
    await Person(api, email=new_email).register()
    await answer(person, old)

    assert code_of(await answer(person, new)) == (409, "email_taken")

    assert await email_of(person) == person.email


async def test_a_newer_wish_takes_the_place_of_an_older_one(
    person: Person, sandbox: httpx.AsyncClient, new_email: str
) -> None:
    await ask(person, new_email)
    old_link = await mailed_token(sandbox, new_email, PAGE)

    await ask(person, f"other.{new_email}")

    assert code_of(await answer(person, old_link)) == (410, "token_expired")


@pytest.mark.parametrize("how", ["too late", "password changed"])
async def test_a_wish_that_is_over_changes_nothing(
    person: Person, sandbox: httpx.AsyncClient, resources: Resources, new_email: str, how: str
) -> None:
    await ask(person, new_email)
    tokens = [await mailed_token(sandbox, email, PAGE) for email in (person.email, new_email)]
    if how == "too late":
        async with resources.sessions.begin() as session:
            await session.execute(
                text("UPDATE confirmations SET expires_at = now() WHERE email = :email"), {"email": new_email}
            )
    else:
        change = {"password": "another horse, another battery", "current_password": PASSWORD}
        await person.http.patch("/v1/users/me", json=change, headers=person.headers)

    for token in tokens:
        assert code_of(await answer(person, token)) == (410, "token_expired")

    assert await email_of(person) == person.email


async def test_no_mailbox_is_flooded(person: Person, new_email: str) -> None:
    answers = [await ask(person, f"{i}.{new_email}") for i in range(6)]

    assert [one.status_code for one in answers] == [202] * 5 + [409]
    assert answers[-1].json()["code"] == "too_many_mails"


@pytest.mark.parametrize("word", ["confirm", "refuse"])
async def test_a_token_of_another_purpose_is_none(person: Person, sandbox: httpx.AsyncClient, word: str) -> None:
    await person.http.post("/v1/auth/password-reset", json={"email": person.email})
    token = await mailed_token(sandbox, person.email, "password-reset")

    assert code_of(await answer(person, token, word)) == (422, "validation_failed")

    assert await email_of(person) == person.email


async def test_the_page_of_the_link_lets_agree_and_refuse(api: httpx.AsyncClient) -> None:
    page: Any = await api.get("/email-change", params={"token": "any"})

    assert page.status_code == 200
    assert "/v1/auth/email-change/confirm" in page.text
    assert "/v1/auth/email-change/refuse" in page.text
