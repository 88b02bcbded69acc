"""Register, verify, sign in, stay signed in, sign out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID, uuid4

import bcrypt
import httpx
import jwt
import pytest
from sqlalchemy import func, select, text, update

from db import customers
from db.customers import User
from db.sessions import LoginSession, RefreshToken
from domain.customers import RegistrationOutcome
from runtime.guesses import Counter, _name_of
from runtime.resources import Resources
from tests.api.test_problems import is_a_problem
from tests.runtime.test_passwords import Observed
from tests.support.answers import code_of
from tests.support.histories import decoded
from tests.support.people import PASSWORD, Person, a_verified_person, mailed_token, mails_to
from tests.support.processes import answers, free_port, process
from tests.support.statements import counted_statements
from workflows.names import registration_id
from workflows.registration import Registration

LOGIN = "/v1/auth/login"


@pytest.fixture
async def person(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    """Somebody with a verified account who has not signed in."""
    return await a_verified_person(api, sandbox)


async def accounts_with(resources: Resources, email: str) -> int:
    async with resources.sessions() as session:
        found = await session.scalar(
            select(func.count()).select_from(User).where(func.lower(User.email) == email.lower())
        )
        return found or 0


async def stored_hash(resources: Resources, email: str) -> str:
    async with resources.sessions() as session:
        return (await session.scalars(select(User.password_hash).where(User.email == email))).one()


async def test_registering_mails_a_link_that_makes_the_account_active(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    person = Person(api)

    registered = await person.register()
    assert registered.status_code == 202
    user_id = registered.json()["user_id"]
    assert registered.json() == {"user_id": user_id, "status": "pending_verification"}

    verified = await person.verify(sandbox)
    assert verified.status_code == 200
    assert verified.json() == {"user_id": user_id, "status": "active"}

    registration = resources.temporal.get_workflow_handle_for(Registration.run, registration_id(UUID(user_id)))
    assert await registration.result() is RegistrationOutcome.VERIFIED
    [mail] = await mails_to(sandbox, person.email)
    assert mail["subject"] == "Sutler: confirm your e-mail address"
    assert mail["message_id"] == f"<verification.{user_id}@example.com>"


async def test_an_account_is_written_to_in_the_language_in_which_it_was_made(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient
) -> None:
    person = Person(api)
    body = {"username": person.username, "email": person.email, "password": person.password}
    await api.post("/v1/auth/register", json=body, headers={"Accept-Language": "de-CH, en;q=0.5"})

    [verification] = await mails_to(sandbox, person.email)
    assert verification["subject"] == "Sutler: Bitte bestätigen Sie Ihre E-Mail-Adresse"
    await person.verify(sandbox)
    await api.post("/v1/auth/password-reset", json={"email": person.email})
    reset = (await mails_to(sandbox, person.email, at_least=2))[-1]
    assert reset["subject"] == "Sutler: Wählen Sie ein neues Passwort"


async def test_the_link_used_twice_answers_the_same_again(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> None:
    person = Person(api)
    await person.register()

    first, second = await person.verify(sandbox), await person.verify(sandbox)

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()


async def test_the_mailed_link_leads_to_a_page_that_changes_nothing_by_itself(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient
) -> None:
    person = Person(api)
    await person.register()
    token = await mailed_token(sandbox, person.email)

    page = await api.get("/verify-email", params={"token": token})

    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert code_of(await person.log_in()) == (403, "email_not_verified")


async def test_nothing_of_the_person_is_in_the_history_of_the_registration(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    person = Person(api)
    user_id = UUID((await person.register()).json()["user_id"])
    password_hash = await stored_hash(resources, person.email)
    token = await mailed_token(sandbox, person.email)
    await person.verify(sandbox)

    registration = resources.temporal.get_workflow_handle(registration_id(user_id))
    await registration.result()
    history = (await registration.fetch_history()).to_json()
    described = str((await registration.describe()).raw_description)

    assert str(user_id) in history
    for secret in (person.email, person.username, person.password, password_hash, password_hash.split("$")[-1], token):
        for told in (history, described):
            assert secret not in told
            assert secret not in decoded(told)


async def test_fifty_registrations_of_one_address_make_one_account(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    email = f"ada.{uuid4().hex}@example.com"
    people = [Person(api, email=email if i % 2 else email.upper()) for i in range(50)]

    answers = await asyncio.gather(*(person.register() for person in people))

    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 49
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"email_taken"}
    assert await accounts_with(resources, email) == 1


async def test_a_taken_address_or_username_is_refused_however_it_is_capitalised(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    person = Person(api)
    await person.register()

    assert code_of(await Person(api, email=f"  {person.email.upper()} ").register()) == (409, "email_taken")
    other = Person(api, email=f"{uuid4().hex}@example.com")
    assert code_of(await other.register(username=person.username.upper())) == (409, "username_taken")

    assert await accounts_with(resources, person.email) == 1
    assert await accounts_with(resources, other.email) == 0


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        ("username", "ab", "A username has 3 to 50 characters."),
        ("username", "ada lovelace", "A username is made of letters, digits and `_ . -`."),
        ("email", "not an address", "This is not an e-mail address."),
        ("email", "Ada <ada@example.com>", "This is not an e-mail address."),
        ("password", "7 chars", "A password has 8 to 100 characters."),
        ("password", "p" * 101, "A password has 8 to 100 characters."),
        ("password", 12345678, "Input should be a valid string"),
        ("newsletter", True, "Extra inputs are not permitted"),
    ],
)
async def test_a_field_that_is_not_acceptable_is_named(
    api: httpx.AsyncClient, resources: Resources, field: str, value: object, detail: str
) -> None:
    person = Person(api)

    refused = await person.register(**{field: value})

    assert code_of(refused) == (422, "validation_failed")
    assert refused.json()["errors"] == [{"pointer": f"/{field}", "detail": detail}]
    assert await accounts_with(resources, person.email) == 0


async def test_a_refused_password_is_not_repeated(api: httpx.AsyncClient) -> None:
    refused = await Person(api).register(password="secret")
    assert refused.status_code == 422
    assert "secret" not in refused.text


async def test_blanks_belong_to_a_password(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> None:
    person = Person(api, password="  blanks around  ")
    await person.register()
    await person.verify(sandbox)

    assert (await person.log_in()).status_code == 200
    assert code_of(await person.log_in(password="blanks around")) == (401, "invalid_credentials")


async def test_a_forged_token_verifies_nothing(api: httpx.AsyncClient, person: Person) -> None:
    await person.sign_in()
    for forged in ("nonsense", person.access_token):
        refused = await api.post("/v1/auth/verify-email", json={"token": forged})
        assert code_of(refused) == (422, "validation_failed")
        assert refused.json()["errors"] == [{"pointer": "/token", "detail": "This is not a token that we have mailed."}]


async def test_a_link_that_is_too_old_is_gone(api: httpx.AsyncClient, resources: Resources) -> None:
    token = resources.tokens.verification(uuid4(), datetime.now(UTC) - timedelta(hours=73))
    assert code_of(await api.post("/v1/auth/verify-email", json={"token": token})) == (410, "token_expired")


async def test_the_link_of_an_account_that_expired_is_gone(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    person = Person(api)
    user_id = (await person.register()).json()["user_id"]
    token = await mailed_token(sandbox, person.email)
    async with resources.sessions.begin() as session:
        await session.execute(text("DELETE FROM users WHERE id = :id"), {"id": user_id})
    await resources.temporal.get_workflow_handle(registration_id(UUID(user_id))).terminate()

    assert code_of(await api.post("/v1/auth/verify-email", json={"token": token})) == (410, "token_expired")


async def test_an_account_whose_workflow_was_lost_can_still_be_verified(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    person = Person(api)
    user_id = (await person.register()).json()["user_id"]
    await mailed_token(sandbox, person.email)
    await resources.temporal.get_workflow_handle(registration_id(UUID(user_id))).terminate()

    assert (await person.verify(sandbox)).json() == {"user_id": user_id, "status": "active"}


@pytest.fixture(scope="module")
async def without_engine(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """An API whose engine is away."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {**environment, "APP_API__PORT": str(port), "APP_TEMPORAL__ADDRESS": f"127.0.0.1:{free_port()}"}
    log = tmp_path_factory.mktemp("without_engine") / "api.log"
    with process("cli", "api", environment=settings, ready=answers(f"{url}/health"), log=log):
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            yield client


async def test_no_account_is_made_while_the_engine_is_away(
    without_engine: httpx.AsyncClient, resources: Resources
) -> None:
    person = Person(without_engine)

    refused = await person.register()

    assert code_of(refused) == (503, "unavailable")
    assert refused.headers["retry-after"] == "1"
    assert await accounts_with(resources, person.email) == 0


async def test_signing_in_does_not_need_the_engine(without_engine: httpx.AsyncClient, person: Person) -> None:
    person.http = without_engine
    await person.sign_in()
    assert (await person.me()).status_code == 200


async def test_signing_in_gives_a_pair_of_tokens_and_the_profile(api: httpx.AsyncClient, person: Person) -> None:
    answer = await person.log_in()

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "user"}
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 900
    assert body["user"].keys() == {"id", "username", "email", "role", "status", "groups", "created_at"}
    assert body["user"]["email"] == person.email
    assert body["user"]["role"] == "customer"
    assert body["user"]["created_at"].endswith("Z")


async def test_others_can_check_an_access_token_with_the_published_keys(api: httpx.AsyncClient, person: Person) -> None:
    await person.sign_in()
    keys = jwt.PyJWKSet.from_dict((await api.get("/.well-known/jwks.json")).json())

    kid = jwt.get_unverified_header(person.access_token)["kid"]
    claims = jwt.decode(person.access_token, keys[kid], algorithms=["EdDSA"], audience="access", issuer="sutler")

    assert claims["sub"] == (await person.me()).json()["id"]


async def test_an_address_is_recognised_however_it_is_capitalised(person: Person) -> None:
    assert (await person.log_in(email=f" {person.email.upper()} ")).status_code == 200


def place_of(account: UUID) -> str:
    return md5(str(account).encode(), usedforsecurity=False).hexdigest()


async def test_an_unknown_address_costs_what_some_account_costs_whose_hash_came_from_elsewhere(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    """Which hasher does the work tells nothing: it is another one's for as many unknown addresses as for accounts."""
    imported = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    nobody, name = f"Nobody.{uuid4().hex}@example.com", f"ada.{uuid4().hex[:12]}"
    drawn = int(customers.drawn_by(nobody), 16)
    just_behind = next(made for made in iter(uuid4, None) if 0 <= int(place_of(made), 16) - drawn < 2**112)
    async with resources.sessions.begin() as session:
        session.add(User(id=just_behind, username=name, email=f"{name}@example.com", password_hash=imported))
    passwords = Observed()

    for address in (nobody, nobody.upper(), f"{name}@example.com"):
        async with resources.sessions() as session:
            with counted_statements(resources.engine) as asked:
                claim = await customers.claimed_by(session, address)
        assert claim.hash_to_check == imported
        await passwords.check("not the password", claim.hash_to_check)
        assert len(asked) == 1
    assert passwords.verified == [imported] * 3
    passwords.close()
    told = await api.post(LOGIN, json={"email": nobody, "password": PASSWORD})  # that of whoever stands in
    assert code_of(told) == (401, "invalid_credentials")


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(person: Person) -> None:
    wrong = await person.log_in(password="not the password")
    unknown = await person.log_in(email=f"{uuid4().hex}@example.com")
    nonsense = await person.log_in(email="nonsense")

    assert code_of(wrong) == (401, "invalid_credentials")
    assert wrong.headers["www-authenticate"] == "Bearer"
    bodies = [{**answer.json(), "trace_id": ""} for answer in (wrong, unknown, nonsense)]
    assert bodies[0] == bodies[1] == bodies[2]


async def test_an_unverified_account_is_told_so_only_with_its_password(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    person = Person(api)
    await person.register()

    assert code_of(await person.log_in()) == (403, "email_not_verified")
    assert code_of(await person.log_in(password="not the password")) == (401, "invalid_credentials")
    async with resources.sessions() as session:
        signed_in = await session.scalar(
            select(func.count())
            .select_from(LoginSession)
            .join(User, User.id == LoginSession.user_id)
            .where(User.email == person.email)
        )
    assert signed_in == 0


async def test_a_bcrypt_hash_is_accepted_and_replaced_at_sign_in(person: Person, resources: Resources) -> None:
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    async with resources.sessions.begin() as session:
        await session.execute(update(User).where(User.email == person.email).values(password_hash=old))

    assert code_of(await person.log_in(password="not the password")) == (401, "invalid_credentials")
    assert await stored_hash(resources, person.email) == old

    assert (await person.log_in()).status_code == 200
    assert (await stored_hash(resources, person.email)).startswith("$argon2id$")
    assert (await person.log_in()).status_code == 200


async def test_a_refresh_token_is_traded_for_a_new_pair(person: Person) -> None:
    await person.sign_in()

    refreshed = await person.refresh()

    assert refreshed.status_code == 200
    assert refreshed.json()["refresh_token"] != person.refresh_token
    person.access_token, person.refresh_token = refreshed.json()["access_token"], refreshed.json()["refresh_token"]
    assert (await person.me()).status_code == 200
    assert (await person.refresh()).status_code == 200


async def test_a_refresh_token_used_twice_ends_its_session_and_no_other(api: httpx.AsyncClient, person: Person) -> None:
    await person.sign_in()
    elsewhere = await Person(api, username=person.username, email=person.email).sign_in()
    newer = (await person.refresh()).json()

    assert code_of(await person.refresh()) == (401, "refresh_token_reused")

    person.access_token = newer["access_token"]
    assert code_of(await person.me()) == (401, "unauthenticated")
    assert code_of(await person.refresh(newer["refresh_token"])) == (401, "refresh_token_invalid")
    assert (await elsewhere.me()).status_code == 200
    assert (await elsewhere.refresh()).status_code == 200


async def test_of_twenty_refreshes_with_one_token_one_wins(person: Person) -> None:
    await person.sign_in()

    answers = await asyncio.gather(*(person.refresh() for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 401} == {"refresh_token_reused"}


async def test_a_refresh_token_that_was_never_given_out_is_refused(api: httpx.AsyncClient, person: Person) -> None:
    await person.sign_in()
    for token in ("nonsense", person.access_token):
        assert code_of(await person.refresh(token)) == (401, "refresh_token_invalid")
    assert (await person.me()).status_code == 200


async def test_only_the_hash_of_a_refresh_token_is_stored(person: Person, resources: Resources) -> None:
    await person.sign_in()
    async with resources.sessions() as session:
        stored = await session.scalars(
            select(RefreshToken.token_hash)
            .join(LoginSession, LoginSession.id == RefreshToken.session_id)
            .join(User, User.id == LoginSession.user_id)
            .where(User.email == person.email)
        )
        [token_hash] = stored.all()
    assert len(token_hash) == 32
    assert token_hash != person.refresh_token.encode()


async def test_signing_out_ends_both_tokens_at_once_and_no_other_session(
    api: httpx.AsyncClient, person: Person
) -> None:
    await person.sign_in()
    elsewhere = await Person(api, username=person.username, email=person.email).sign_in()

    assert (await api.post("/v1/auth/logout", headers=person.headers)).status_code == 204

    assert code_of(await person.me()) == (401, "unauthenticated")
    assert code_of(await person.refresh()) == (401, "refresh_token_invalid")
    assert code_of(await api.post("/v1/auth/logout", headers=person.headers)) == (401, "unauthenticated")
    assert (await elsewhere.me()).status_code == 200


async def test_the_profile_is_read_and_renamed(person: Person, api: httpx.AsyncClient) -> None:
    await person.sign_in()
    before = (await person.me()).json()
    name = f"grace.{uuid4().hex[:12]}"

    renamed = await api.patch("/v1/users/me", json={"username": f" {name} "}, headers=person.headers)

    assert renamed.status_code == 200
    assert renamed.json() == {**before, "username": name}
    assert (await person.me()).json() == renamed.json()


async def test_nobody_takes_another_persons_username(
    person: Person, api: httpx.AsyncClient, sandbox: httpx.AsyncClient
) -> None:
    other = await a_verified_person(api, sandbox)
    await person.sign_in()

    refused = await api.patch("/v1/users/me", json={"username": other.username.upper()}, headers=person.headers)

    assert code_of(refused) == (409, "username_taken")
    assert (await person.me()).json()["username"] == person.username


async def test_only_the_username_of_a_profile_can_be_changed(person: Person, api: httpx.AsyncClient) -> None:
    await person.sign_in()
    before = (await person.me()).json()

    refused = await api.patch("/v1/users/me", json={"username": "ada", "role": "admin"}, headers=person.headers)

    assert refused.json()["errors"] == [{"pointer": "/role", "detail": "Extra inputs are not permitted"}]
    assert (await person.me()).json() == before


async def test_the_profile_of_a_deleted_account_is_not_found(person: Person, resources: Resources) -> None:
    await person.sign_in()
    async with resources.sessions.begin() as session:
        await session.execute(text("DELETE FROM users WHERE email = :email"), {"email": person.email})
    assert code_of(await person.me()) == (404, "not_found")


async def test_nobody_without_a_good_token_is_let_in(
    api: httpx.AsyncClient, person: Person, resources: Resources
) -> None:
    await person.sign_in()
    me = resources.tokens.read_access(person.access_token)
    expired = resources.tokens.access(me, token_id=uuid4(), now=datetime.now(UTC) - timedelta(hours=1))
    claims = jwt.decode(person.access_token, options={"verify_signature": False})
    unsigned = jwt.encode({**claims, "role": "admin"}, "", algorithm="none")
    head, _, signature = person.access_token.split(".")
    changed = ".".join([head, unsigned.split(".")[1], signature])

    for authorization in (
        None,
        "Bearer",
        "Bearer nonsense",
        f"Basic {person.access_token}",
        f"Bearer {expired}",
        f"Bearer {unsigned}",
        f"Bearer {changed}",
        f"Bearer {person.refresh_token}",
    ):
        headers = {"Authorization": authorization} if authorization else {}
        refused = await api.get("/v1/users/me", headers=headers)
        assert code_of(refused) == (401, "unauthenticated"), authorization
        assert refused.headers["www-authenticate"] == "Bearer"


async def test_the_answer_of_a_refused_token_does_not_repeat_it(api: httpx.AsyncClient) -> None:
    refused = await api.get("/v1/users/me", headers={"Authorization": "Bearer something-secret"})
    assert "something-secret" not in refused.text


async def guessed_by_others(resources: Resources, email: str) -> None:
    """As if its password had been wrong so often that the next try waits for two minutes."""
    assert await resources.guesses._shared.begin([Counter(f"account:{_name_of(email)}", -6)]) == 0


async def test_after_wrong_passwords_the_next_try_waits_whether_there_is_such_an_account_or_not(
    api: httpx.AsyncClient, resources: Resources, person: Person
) -> None:
    told = []
    for email in (person.email, f"nobody-{person.email}"):
        assert (await api.post(LOGIN, json={"email": email, "password": "wrong"})).status_code == 401
        await guessed_by_others(resources, email)
        told.append(await api.post(LOGIN, json={"email": email, "password": person.password}))

    for answer in told:
        problem = is_a_problem(answer, 429, "rate_limited")
        assert problem["detail"] == "There were too many wrong passwords; this one was not looked at."
        assert 120 < problem["retry_after"] <= 256
        assert answer.headers["retry-after"] == str(problem["retry_after"])


async def test_guesses_of_others_do_not_keep_a_person_from_a_device_that_is_known(
    api: httpx.AsyncClient, api_url: str, resources: Resources, person: Person
) -> None:
    right = {"email": person.email, "password": person.password}
    async with httpx.AsyncClient(base_url=api_url, timeout=60) as device:
        cookie = (await device.post(LOGIN, json=right)).headers["set-cookie"]
        await guessed_by_others(resources, person.email)

        elsewhere = await api.post(LOGIN, json=right)
        here = await device.post(LOGIN, json=right)

    assert {"HttpOnly", "Path=/v1/auth/login", "SameSite=strict"} <= set(cookie.split("; "))
    assert person.email not in cookie
    assert (elsewhere.status_code, here.status_code) == (429, 200)
