"""Somebody becomes one of the staff: invited by an admin, by a link that works once."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, text
from typer.testing import CliRunner

from cli import app
from db.confirmations import MailedToken
from db.customers import User
from db.tokens import hash_of
from domain.confirmations import ConfirmationOutcome
from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.histories import told_of
from tests.support.people import Person, a_verified_person, mailed_token, mails_to
from workflows.names import confirmation_id

INVITATIONS = "/v1/admin/invitations"
PAGE = "invitation"


@pytest.fixture
def newcomer(api: httpx.AsyncClient) -> Person:
    return Person(api)


async def invite(api: httpx.AsyncClient, headers: dict[str, str], email: str, role: str = "operator") -> httpx.Response:
    return await api.post(INVITATIONS, json={"email": email, "role": role}, headers=headers)


async def accept(newcomer: Person, token: str, **otherwise: Any) -> httpx.Response:
    body = {"token": token, "username": newcomer.username, "password": newcomer.password, **otherwise}
    return await newcomer.http.post("/v1/auth/invitations/accept", json=body)


async def accounts_with(resources: Resources, email: str) -> int:
    async with resources.sessions() as session:
        return await session.scalar(select(func.count()).where(func.lower(User.email) == email.lower())) or 0


@pytest.mark.parametrize("role", ["operator", "admin"])
async def test_who_accepts_an_invitation_is_of_the_staff(
    api: httpx.AsyncClient,
    admin: dict[str, str],
    sandbox: httpx.AsyncClient,
    resources: Resources,
    newcomer: Person,
    role: str,
) -> None:
    invited = await invite(api, admin, newcomer.email, role)
    assert invited.status_code == 201
    assert (invited.json()["role"], invited.json()["status"]) == (role, "open")
    token = await mailed_token(sandbox, newcomer.email, PAGE)

    accepted = await accept(newcomer, token)

    assert accepted.status_code == 201
    assert accepted.json()["status"] == "active"
    await newcomer.sign_in()
    me = (await newcomer.me()).json()
    assert (me["id"], me["role"], me["email"]) == (accepted.json()["user_id"], role, newcomer.email)
    assert (await api.get("/v1/admin/orders", headers=newcomer.headers)).status_code == 200
    story = confirmation_id(invited.json()["id"])
    handle = resources.temporal.get_workflow_handle(story, result_type=ConfirmationOutcome)
    assert await handle.result() is ConfirmationOutcome.CONFIRMED
    told = await told_of(resources.temporal, story)
    for secret in (token, newcomer.email, newcomer.username, newcomer.password):
        assert secret not in told
    async with resources.sessions() as session:
        stored = (await session.scalars(select(MailedToken).where(MailedToken.token_hash == hash_of(token)))).one()
    assert str(stored.confirmation_id) == invited.json()["id"]


async def test_an_invitation_is_accepted_once(
    api: httpx.AsyncClient, admin: dict[str, str], sandbox: httpx.AsyncClient, resources: Resources, newcomer: Person
) -> None:
    await invite(api, admin, newcomer.email)
    token = await mailed_token(sandbox, newcomer.email, PAGE)

    answers = await asyncio.gather(*(accept(newcomer, token, username=f"{newcomer.username}.{i}") for i in range(4)))

    assert sorted(one.status_code for one in answers) == [201, 410, 410, 410]
    assert code_of(await accept(newcomer, token, username="somebody.else")) == (410, "token_expired")
    assert await accounts_with(resources, newcomer.email) == 1


@pytest.mark.parametrize("how", ["withdrawn", "expired", "invited again"])
async def test_an_invitation_that_is_over_makes_no_account(
    api: httpx.AsyncClient,
    admin: dict[str, str],
    sandbox: httpx.AsyncClient,
    resources: Resources,
    newcomer: Person,
    how: str,
) -> None:
    invitation = (await invite(api, admin, newcomer.email)).json()
    token = await mailed_token(sandbox, newcomer.email, PAGE)
    match how:
        case "withdrawn":
            path = f"{INVITATIONS}/{invitation['id']}"
            assert (await api.delete(path, headers=admin)).status_code == 204
            assert code_of(await api.delete(path, headers=admin)) == (404, "not_found")
        case "expired":
            async with resources.sessions.begin() as session:
                await session.execute(
                    text("UPDATE confirmations SET expires_at = now() WHERE id = :id"), {"id": invitation["id"]}
                )
        case "invited again":
            await invite(api, admin, newcomer.email.upper())

    assert code_of(await accept(newcomer, token)) == (410, "token_expired")

    assert await accounts_with(resources, newcomer.email) == 0


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"password": "iloveyou"}, "/password"),
        ({"password": "correct horse battery staple"}, "/password"),
        ({"username": "a b"}, "/username"),
    ],
)
async def test_what_is_not_acceptable_leaves_the_invitation_open(
    api: httpx.AsyncClient,
    admin: dict[str, str],
    sandbox: httpx.AsyncClient,
    resources: Resources,
    newcomer: Person,
    change: dict[str, str],
    pointer: str,
) -> None:
    await invite(api, admin, newcomer.email)
    token = await mailed_token(sandbox, newcomer.email, PAGE)

    refused = await accept(newcomer, token, **change)

    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert await accounts_with(resources, newcomer.email) == 0
    assert (await accept(newcomer, token)).status_code == 201


@pytest.mark.parametrize("purpose", ["nonsense", "password-reset"])
async def test_no_other_token_makes_an_account(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, newcomer: Person, purpose: str
) -> None:
    token = "nonsense"
    if purpose == "password-reset":
        somebody = await a_verified_person(api, sandbox)
        await api.post("/v1/auth/password-reset", json={"email": somebody.email})
        token = await mailed_token(sandbox, somebody.email, purpose)

    refused = await accept(newcomer, token)

    assert code_of(refused) == (422, "validation_failed")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/token"]
    assert await accounts_with(resources, newcomer.email) == 0


async def test_a_taken_username_leaves_the_invitation_open(
    api: httpx.AsyncClient, admin: dict[str, str], sandbox: httpx.AsyncClient, newcomer: Person
) -> None:
    other = Person(api)
    await other.register()
    await invite(api, admin, newcomer.email)
    token = await mailed_token(sandbox, newcomer.email, PAGE)

    assert code_of(await accept(newcomer, token, username=other.username)) == (409, "username_taken")

    assert (await accept(newcomer, token)).status_code == 201


async def test_who_has_an_account_is_not_invited(
    api: httpx.AsyncClient, admin: dict[str, str], sandbox: httpx.AsyncClient, newcomer: Person
) -> None:
    await newcomer.register()

    assert code_of(await invite(api, admin, newcomer.email.upper())) == (409, "email_taken")

    assert [mail["subject"] for mail in await mails_to(sandbox, newcomer.email)] == [
        "Sutler: confirm your e-mail address"
    ]


async def test_nobody_is_invited_to_be_a_customer(api: httpx.AsyncClient, admin: dict[str, str]) -> None:
    refused = await invite(api, admin, f"{uuid4().hex}@example.com", "customer")

    assert [error["pointer"] for error in refused.json()["errors"]] == ["/role"]


async def test_only_admins_invite(
    api: httpx.AsyncClient, operator: dict[str, str], sandbox: httpx.AsyncClient, newcomer: Person
) -> None:
    for method, path in (("POST", INVITATIONS), ("GET", INVITATIONS), ("DELETE", f"{INVITATIONS}/{uuid4()}")):
        body = {"email": newcomer.email, "role": "operator"} if method == "POST" else None
        assert code_of(await api.request(method, path, json=body, headers=operator)) == (403, "forbidden")
        assert code_of(await api.request(method, path, json=body)) == (401, "unauthenticated")

    assert await mails_to(sandbox, newcomer.email, at_least=0) == []


async def test_invitations_are_listed_and_kept_in_the_audit_log(
    api: httpx.AsyncClient, admin: dict[str, str], newcomer: Person
) -> None:
    invitation = (await invite(api, admin, newcomer.email)).json()

    listed = (await api.get(INVITATIONS, headers=admin, params={"limit": 100})).json()["items"]
    noted = (await api.get("/v1/admin/audit", headers=admin, params={"actor": invitation["asked_by"]})).json()["items"]

    assert [one for one in listed if one["id"] == invitation["id"]] == [invitation]
    assert [(entry["id"], entry["action"], entry["note"]) for entry in noted] == [(invitation["id"], "invite", None)]


async def test_the_first_admin_is_invited_from_the_command_line(
    environment: dict[str, str],
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    newcomer: Person,
) -> None:
    terminal = CliRunner()
    invited = await asyncio.to_thread(terminal.invoke, app, ["accounts", "invite", newcomer.email], env=environment)
    assert invited.exit_code == 0, invited.output
    assert (await accept(newcomer, await mailed_token(sandbox, newcomer.email, PAGE))).status_code == 201

    await newcomer.sign_in()
    assert (await newcomer.me()).json()["role"] == "admin"
    again = await asyncio.to_thread(terminal.invoke, app, ["accounts", "invite", newcomer.email], env=environment)
    assert again.exit_code == 1
