"""A new password for whoever reads the mailbox, and for nobody else."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select, text

from api.confirmations import begin_confirmation
from db import confirmations
from db.confirmations import Confirmation, MailedToken
from db.customers import User
from db.tokens import hash_of
from domain.confirmations import AskForConfirmation, ConfirmationOutcome
from domain.notifications import Occasion
from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.histories import told_of
from tests.support.people import Person, a_verified_person, mailed_token, mailed_tokens, mails_to
from tests.support.statements import counted_statements
from tests.support.waiting import eventually
from workflows.names import confirmation_id

NEW = "another horse, another battery"
PAGE = "password-reset"
HOUR = timedelta(hours=1)
RESET = "/v1/auth/password-reset"


@pytest.fixture
async def person(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    """Somebody with a verified account who is signed in and does not remember with what."""
    return await (await a_verified_person(api, sandbox)).sign_in()


async def forgets(person: Person) -> httpx.Response:
    return await person.http.post(RESET, json={"email": person.email})


async def chooses(person: Person, token: str, password: str = NEW) -> httpx.Response:
    return await person.http.post(f"{RESET}/confirm", json={"token": token, "password": password})


async def asked_by(resources: Resources, person: Person) -> list[Confirmation]:
    async with resources.sessions() as session:
        found = await session.scalars(
            select(Confirmation).join(User, User.id == Confirmation.user_id).where(User.email == person.email)
        )
        return list(found)


async def hash_stored(resources: Resources, person: Person) -> str:
    async with resources.sessions() as session:
        return (await session.scalars(select(User.password_hash).where(User.email == person.email))).one()


async def test_the_mailed_link_changes_the_password_and_ends_all_sessions(
    api: httpx.AsyncClient, person: Person, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    elsewhere = await Person(api, username=person.username, email=person.email).sign_in()

    asked = await forgets(person)
    assert (asked.status_code, asked.json()) == (202, {"status": "accepted"})
    changed = await chooses(person, await mailed_token(sandbox, person.email, PAGE))

    assert changed.status_code == 200
    assert changed.json().keys() == {"user_id", "status"}
    assert changed.json()["status"] == "active"
    for device in (person, elsewhere):
        assert code_of(await device.me()) == (401, "unauthenticated")
        assert code_of(await device.refresh()) == (401, "refresh_token_invalid")
    assert code_of(await person.log_in()) == (401, "invalid_credentials")
    assert (await person.log_in(password=NEW)).status_code == 200
    mails = await mails_to(sandbox, person.email, at_least=3)
    assert [mail["subject"] for mail in mails] == [
        "Sutler: confirm your e-mail address",
        "Sutler: choose a new password",
        "Sutler: your password was changed",
    ]
    [asked_for] = await asked_by(resources, person)
    story = resources.temporal.get_workflow_handle(confirmation_id(asked_for.id), result_type=ConfirmationOutcome)
    assert await story.result() is ConfirmationOutcome.CONFIRMED


async def test_a_link_changes_a_password_once(person: Person, sandbox: httpx.AsyncClient, resources: Resources) -> None:
    await forgets(person)
    token = await mailed_token(sandbox, person.email, PAGE)
    assert (await chooses(person, token)).status_code == 200
    before = await hash_stored(resources, person)

    assert code_of(await chooses(person, token, "a third one, for a thief")) == (410, "token_expired")

    assert await hash_stored(resources, person) == before


async def test_of_ten_clicks_at_once_one_counts(person: Person, sandbox: httpx.AsyncClient) -> None:
    await forgets(person)
    token = await mailed_token(sandbox, person.email, PAGE)
    passwords = [f"battery number {i} of a horse" for i in range(10)]

    answers = await asyncio.gather(*(chooses(person, token, password) for password in passwords))

    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 9
    [winner] = [i for i, answer in enumerate(answers) if answer.status_code == 200]
    assert (await person.log_in(password=passwords[winner])).status_code == 200


async def test_a_link_that_is_too_old_changes_nothing(
    person: Person, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    await forgets(person)
    token = await mailed_token(sandbox, person.email, PAGE)
    before = await hash_stored(resources, person)
    async with resources.sessions.begin() as session:
        await session.execute(
            text(
                "UPDATE confirmations SET expires_at = now() FROM users "
                "WHERE users.id = confirmations.user_id AND users.email = :email"
            ),
            {"email": person.email},
        )

    assert code_of(await chooses(person, token)) == (410, "token_expired")

    assert await hash_stored(resources, person) == before
    assert (await person.me()).status_code == 200


async def test_with_the_first_click_all_other_links_are_worth_nothing(
    person: Person, sandbox: httpx.AsyncClient
) -> None:
    await forgets(person)
    await forgets(person)
    first, second = await mailed_tokens(sandbox, person.email, PAGE, at_least=2)

    assert (await chooses(person, second)).status_code == 200

    assert code_of(await chooses(person, first)) == (410, "token_expired")


@pytest.mark.parametrize("stolen", ["iloveyou", "correct horse battery staple"])
async def test_a_stolen_password_is_not_chosen_and_leaves_the_link_as_it_is(
    person: Person, sandbox: httpx.AsyncClient, resources: Resources, stolen: str
) -> None:
    await forgets(person)
    token, before = await mailed_token(sandbox, person.email, PAGE), await hash_stored(resources, person)

    refused = await chooses(person, token, stolen)

    assert code_of(refused) == (422, "validation_failed")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/password"]
    assert await hash_stored(resources, person) == before
    assert (await person.me()).status_code == 200
    assert (await chooses(person, token)).status_code == 200


@pytest.mark.parametrize("kind", ["nonsense", "verification", "access", "refresh"])
async def test_no_other_token_changes_a_password(
    person: Person, sandbox: httpx.AsyncClient, resources: Resources, kind: str
) -> None:
    before = await hash_stored(resources, person)
    token = {
        "nonsense": "nonsense",
        "verification": await mailed_token(sandbox, person.email),
        "access": person.access_token,
        "refresh": person.refresh_token,
    }[kind]

    refused = await chooses(person, token)

    assert code_of(refused) == (422, "validation_failed")
    assert refused.json()["errors"] == [{"pointer": "/token", "detail": "This is not a token that we have mailed."}]
    assert await hash_stored(resources, person) == before


async def test_a_password_that_is_not_acceptable_leaves_the_link_as_it_is(
    person: Person, sandbox: httpx.AsyncClient
) -> None:
    await forgets(person)
    token = await mailed_token(sandbox, person.email, PAGE)

    refused = await chooses(person, token, "short")

    assert refused.json()["errors"] == [{"pointer": "/password", "detail": "A password has 8 to 100 characters."}]
    assert (await chooses(person, token)).status_code == 200


async def test_an_unknown_address_gets_the_same_answer_for_the_same_work(
    api: httpx.AsyncClient, person: Person, resources: Resources
) -> None:
    unknown, nonsense = Person(api, email=f"{uuid4().hex}@example.com"), Person(api, email="nonsense")

    answers = [await forgets(somebody) for somebody in (person, unknown, nonsense)]

    assert {(answer.status_code, answer.text) for answer in answers} == {(202, '{"status":"accepted"}')}
    for email in (person.email, unknown.email):
        with counted_statements(resources.engine) as statements:
            async with resources.sessions() as session:
                await confirmations.ask_for_reset(session, email, lasts=HOUR)
        assert len(statements) == 1


async def test_what_was_asked_for_nobody_is_mailed_to_nobody_and_forgotten(
    resources: Resources, workers: None, sandbox: httpx.AsyncClient, api: httpx.AsyncClient
) -> None:
    email = f"{uuid4().hex}@example.com"
    async with resources.sessions.begin() as session:
        asked = await confirmations.ask_for_reset(session, email, lasts=HOUR)
    assert asked.user_id is None

    await begin_confirmation(
        resources,
        AskForConfirmation(
            confirmation_id=asked.confirmation_id, letters=[Occasion.PASSWORD_RESET], expires_after_seconds=3600
        ),
        summary="A test",
        user_id=None,
    )

    story = resources.temporal.get_workflow_handle(
        confirmation_id(asked.confirmation_id), result_type=ConfirmationOutcome
    )
    assert await story.result() is ConfirmationOutcome.NOBODY_ASKED
    assert await mails_to(sandbox, email, at_least=0) == []
    async with resources.sessions() as session:
        assert await session.get(Confirmation, asked.confirmation_id) is None


async def test_an_account_that_was_never_verified_is_sent_no_link(
    api: httpx.AsyncClient, resources: Resources, sandbox: httpx.AsyncClient
) -> None:
    person = Person(api)
    await person.register()

    assert (await forgets(person)).status_code == 202

    assert await asked_by(resources, person) == []


async def test_nobodys_mailbox_is_flooded(person: Person, sandbox: httpx.AsyncClient, resources: Resources) -> None:
    answers = [await forgets(person) for _ in range(7)]

    assert {answer.status_code for answer in answers} == {202}
    assert len(await asked_by(resources, person)) == 5
    assert len(await mailed_tokens(sandbox, person.email, PAGE, at_least=5)) == 5


async def test_only_the_hash_of_the_token_is_stored_and_no_history_has_it(
    person: Person, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    await forgets(person)
    token = await mailed_token(sandbox, person.email, PAGE)
    [asked] = await asked_by(resources, person)
    async with resources.sessions() as session:
        stored = (await session.scalars(select(MailedToken).where(MailedToken.confirmation_id == asked.id))).one()
    assert stored.token_hash == hash_of(token)
    assert token not in stored.occasion

    await chooses(person, token)
    await resources.temporal.get_workflow_handle(confirmation_id(asked.id)).result()
    told = await told_of(resources.temporal, confirmation_id(asked.id))

    assert str(asked.id) in told
    for secret in (token, person.email, person.username, NEW, hash_of(token).hex()):
        assert secret not in told


async def test_whoever_signs_in_while_the_password_is_changed_is_signed_out_as_well(
    person: Person, sandbox: httpx.AsyncClient
) -> None:
    await forgets(person)
    token = await mailed_token(sandbox, person.email, PAGE)

    changed, *logins = await asyncio.gather(chooses(person, token), *(person.log_in() for _ in range(5)))

    assert changed.status_code == 200
    for login in logins:
        if login.status_code == 200:
            person.access_token, person.refresh_token = login.json()["access_token"], login.json()["refresh_token"]
            await eventually(person.is_signed_out)
            assert code_of(await person.refresh()) == (401, "refresh_token_invalid")
        else:
            assert code_of(login) == (401, "invalid_credentials")


async def test_the_mailed_link_leads_to_a_page_that_changes_nothing_by_itself(
    api: httpx.AsyncClient, person: Person, resources: Resources
) -> None:
    before = await hash_stored(resources, person)

    page = await api.get("/password-reset", params={"token": "any"})

    assert page.status_code == 200
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert 'name="password" type="password"' in page.text
    assert await hash_stored(resources, person) == before
