"""Where somebody is signed in, and how that ends, on every process of the API."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.people import Person, a_verified_person
from tests.support.processes import answers, free_port, process
from tests.support.waiting import eventually

SESSIONS = "/v1/users/me/sessions"


@pytest.fixture
async def person(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    return await (await a_verified_person(api, sandbox)).sign_in()


async def elsewhere(person: Person) -> Person:
    """The same person, signed in on another device."""
    return await Person(person.http, username=person.username, email=person.email).sign_in()


async def listed(person: Person, **query: Any) -> dict[str, Any]:
    found = await person.http.get(SESSIONS, headers=person.headers, params=query)
    assert found.status_code == 200, found.text
    page: dict[str, Any] = found.json()
    return page


async def end(person: Person, session_id: str) -> httpx.Response:
    return await person.http.delete(f"{SESSIONS}/{session_id}", headers=person.headers)


async def test_sessions_are_listed_with_their_device_and_no_exact_address(person: Person) -> None:
    phone = Person(person.http, username=person.username, email=person.email)
    told = await person.http.post(
        "/v1/auth/login",
        json={"email": person.email, "password": person.password},
        headers={"User-Agent": "A phone"},
    )
    phone.access_token = told.json()["access_token"]

    newest, oldest = (await listed(person))["items"]

    assert newest.keys() == {
        "id", "is_current", "user_agent", "network", "created_at", "last_used_at", "expires_at",
    }  # fmt: skip
    assert (newest["user_agent"], newest["network"], newest["is_current"]) == ("A phone", "127.0.0.0/24", False)
    assert (oldest["is_current"], oldest["network"]) == (True, "127.0.0.0/24")
    assert [one["is_current"] for one in (await listed(phone))["items"]] == [True, False]


async def test_sessions_are_listed_page_by_page(person: Person) -> None:
    await elsewhere(person)

    first = await listed(person, limit=1)
    second = await listed(person, limit=1, cursor=first["next_cursor"])

    assert [one["is_current"] for page in (first, second) for one in page["items"]] == [False, True]
    assert second["next_cursor"] is None


async def test_a_refresh_is_the_last_use_of_its_session(person: Person) -> None:
    [before] = (await listed(person))["items"]

    await person.refresh()

    [after] = (await listed(person))["items"]
    assert after["last_used_at"] > before["last_used_at"]
    assert after["created_at"] == before["created_at"]


async def test_one_session_is_ended_from_another_one(person: Person) -> None:
    phone = await elsewhere(person)
    [of_phone] = [one["id"] for one in (await listed(person))["items"] if not one["is_current"]]

    assert (await end(person, of_phone)).status_code == 204

    assert code_of(await phone.me()) == (401, "unauthenticated")
    assert code_of(await phone.refresh()) == (401, "refresh_token_invalid")
    assert (await person.me()).status_code == 200
    assert code_of(await end(person, of_phone)) == (404, "not_found")
    assert len((await listed(person))["items"]) == 1


async def test_nobody_ends_the_session_of_another_one(
    person: Person, api: httpx.AsyncClient, sandbox: httpx.AsyncClient
) -> None:
    other = await (await a_verified_person(api, sandbox)).sign_in()
    [of_person] = (await listed(person))["items"]

    assert code_of(await end(other, of_person["id"])) == (404, "not_found")
    assert code_of(await end(other, str(uuid4()))) == (404, "not_found")

    assert (await person.me()).status_code == 200
    assert (await listed(person))["items"] == [of_person]


@pytest.mark.parametrize(("query", "status_here"), [({}, 401), ({"others_only": "true"}, 200)])
async def test_all_sessions_are_ended_at_once(person: Person, query: dict[str, str], status_here: int) -> None:
    phone, tablet = await elsewhere(person), await elsewhere(person)

    assert (await person.http.delete(SESSIONS, headers=person.headers, params=query)).status_code == 204

    for device in (phone, tablet):
        assert code_of(await device.me()) == (401, "unauthenticated")
        assert code_of(await device.refresh()) == (401, "refresh_token_invalid")
    assert (await person.me()).status_code == status_here


async def test_without_a_session_there_is_nothing_to_see(api: httpx.AsyncClient) -> None:
    assert code_of(await api.get(SESSIONS)) == (401, "unauthenticated")
    assert code_of(await api.delete(SESSIONS)) == (401, "unauthenticated")


async def test_a_stolen_refresh_token_ends_the_session_of_both(person: Person) -> None:
    """The thief comes first; the owner's next refresh shows that there are two of them."""
    thief = Person(person.http, refresh_token=person.refresh_token)
    stolen = (await thief.refresh()).json()
    thief.access_token, thief.refresh_token = stolen["access_token"], stolen["refresh_token"]
    assert (await thief.me()).status_code == 200

    assert code_of(await person.refresh()) == (401, "refresh_token_reused")

    for one in (person, thief):
        assert code_of(await one.me()) == (401, "unauthenticated")
    assert code_of(await thief.refresh()) == (401, "refresh_token_invalid")
    assert (await person.log_in()).status_code == 200


async def test_a_session_ends_some_day_however_often_it_is_refreshed(person: Person, resources: Resources) -> None:
    async with resources.sessions.begin() as session:
        await session.execute(
            text(
                "UPDATE login_sessions SET created_at = now() - interval '89 days' FROM users "
                "WHERE users.id = user_id AND email = :email"
            ),
            {"email": person.email},
        )

    await person.refresh()

    [one] = (await listed(person))["items"]
    assert datetime.fromisoformat(one["expires_at"]) - datetime.fromisoformat(one["created_at"]) == timedelta(days=90)


async def test_an_admin_signs_somebody_out_everywhere(
    person: Person, admin: dict[str, str], operator: dict[str, str]
) -> None:
    phone = await elsewhere(person)
    path = f"/v1/admin/users/{(await person.me()).json()['id']}/sessions"
    for headers, status in (({}, 401), (person.headers, 403), (operator, 403)):
        assert (await person.http.delete(path, headers=headers)).status_code == status
    assert (await person.me()).status_code == 200

    assert (await person.http.delete(path, headers=admin)).status_code == 204

    for device in (person, phone):
        assert code_of(await device.me()) == (401, "unauthenticated")
        assert code_of(await device.refresh()) == (401, "refresh_token_invalid")
    nobody = f"/v1/admin/users/{uuid4()}/sessions"
    assert code_of(await person.http.delete(nobody, headers=admin)) == (404, "not_found")


# --- two processes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def other_api(
    environment: dict[str, str], api_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """A second API process of the same shop."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("api") / "other.log"
    with process(
        "cli", "api", environment={**environment, "APP_API__PORT": str(port)}, ready=answers(f"{url}/health"), log=log
    ):
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            yield client


@pytest.mark.parametrize("how", ["signed out", "ended from elsewhere", "all ended", "stolen", "password changed"])
async def test_a_session_that_ended_at_one_process_is_over_at_the_other_one(
    person: Person, other_api: httpx.AsyncClient, how: str
) -> None:
    away = Person(other_api, username=person.username, email=person.email, access_token=person.access_token)
    assert (await away.me()).status_code == 200
    [of_person] = (await listed(person))["items"]
    desk = await elsewhere(person)

    match how:
        case "signed out":
            await person.http.post("/v1/auth/logout", headers=person.headers)
        case "ended from elsewhere":
            await end(desk, of_person["id"])
        case "all ended":
            await desk.http.delete(SESSIONS, headers=desk.headers)
        case "stolen":
            await person.refresh()
            await person.refresh()
        case "password changed":
            change = {"password": "another horse, another battery", "current_password": person.password}
            assert (await desk.http.patch("/v1/users/me", json=change, headers=desk.headers)).status_code == 200

    await eventually(away.is_signed_out)
