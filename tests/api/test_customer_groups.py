"""Customer groups: who makes them, who is in them, and who sees it."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.people import Person, a_verified_person

GROUPS = "/v1/admin/customer-groups"


def a_code() -> str:
    return f"group-{uuid4().hex[:12]}"


async def a_group(api: httpx.AsyncClient, admin: dict[str, str], **otherwise: Any) -> str:
    made = await api.post(GROUPS, json={"code": a_code(), "name": "Wholesale", **otherwise}, headers=admin)
    assert made.status_code == 201, made.text
    code: str = made.json()["code"]
    return code


async def all_groups(api: httpx.AsyncClient, admin: dict[str, str]) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = []
    asked: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get(GROUPS, params=asked, headers=admin)).json()
        listed += page["items"]
        if page["next_cursor"] is None:
            return listed
        asked["cursor"] = page["next_cursor"]


async def entries_about(resources: Resources, word: str) -> list[tuple[str, str]]:
    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT action, note FROM audit_log WHERE note LIKE '%' || :word || '%' ORDER BY id"), {"word": word}
        )
        return [(row.action, row.note) for row in rows]


@pytest.fixture
async def person(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    return await (await a_verified_person(api, sandbox)).sign_in()


async def test_a_group_is_made_renamed_and_listed_and_the_audit_log_knows_who_did_it(
    api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    code = await a_group(api, admin, name="Shops")
    renamed = await api.patch(f"{GROUPS}/{code}", json={"name": "Retailers"}, headers=admin)
    twin = await api.post(GROUPS, json={"code": code, "name": "Another"}, headers=admin)

    assert (renamed.status_code, renamed.json()) == (200, {"code": code, "name": "Retailers"})
    assert code_of(twin) == (409, "group_exists")
    listed = await all_groups(api, admin)
    assert {"code": code, "name": "Retailers"} in listed
    assert [group["code"] for group in listed] == sorted(group["code"] for group in listed)
    assert await entries_about(resources, code) == [("make_group", code), ("rename_group", code)]


async def test_somebody_is_in_the_groups_they_were_put_into_until_they_are_taken_out(
    api: httpx.AsyncClient, admin: dict[str, str], person: Person, resources: Resources
) -> None:
    before = (await person.me()).json()
    codes = sorted([await a_group(api, admin), await a_group(api, admin)])
    of_person = f"/v1/admin/users/{before['id']}/groups"
    for code in [*codes, codes[0]]:
        put = await api.put(f"{of_person}/{code}", headers=admin)
        assert put.status_code == 200, put.text
    shown = (await person.me()).json()
    signed_in = (await person.log_in()).json()["user"]

    assert before["groups"] == []
    assert put.json() == {"user_id": before["id"], "groups": codes}
    assert shown["groups"] == signed_in["groups"] == codes
    for _ in range(2):
        taken = await api.delete(f"{of_person}/{codes[0]}", headers=admin)
        assert (taken.status_code, taken.json()["groups"]) == (200, codes[1:])
    assert (
        (await person.me()).json()["groups"] == (await api.get(of_person, headers=admin)).json()["groups"] == codes[1:]
    )
    assert await entries_about(resources, before["id"]) == [
        ("put_into_group", f"{before['id']} into {codes[0]}"),
        ("put_into_group", f"{before['id']} into {codes[1]}"),
        ("take_out_of_group", f"{before['id']} out of {codes[0]}"),
    ]


async def test_a_group_or_an_account_that_there_is_not_is_refused_and_nothing_changes(
    api: httpx.AsyncClient, admin: dict[str, str], person: Person, resources: Resources
) -> None:
    code, nobody = await a_group(api, admin), uuid4()
    user_id = (await person.me()).json()["id"]

    answers = [
        await api.put(f"/v1/admin/users/{user_id}/groups/{a_code()}", headers=admin),
        await api.put(f"/v1/admin/users/{nobody}/groups/{code}", headers=admin),
        await api.delete(f"/v1/admin/users/{nobody}/groups/{code}", headers=admin),
        await api.get(f"/v1/admin/users/{nobody}/groups", headers=admin),
        await api.patch(f"{GROUPS}/{a_code()}", json={"name": "x"}, headers=admin),
    ]

    assert {code_of(answer) for answer in answers} == {(404, "not_found")}
    assert (await person.me()).json()["groups"] == []
    assert await entries_about(resources, str(nobody)) == []


async def test_who_is_forgotten_is_in_no_group_and_takes_their_groups_along_before(
    api: httpx.AsyncClient, admin: dict[str, str], person: Person
) -> None:
    code = await a_group(api, admin)
    user_id = (await person.me()).json()["id"]
    await api.put(f"/v1/admin/users/{user_id}/groups/{code}", headers=admin)

    export = (await api.get("/v1/users/me/export", headers=person.headers)).json()
    assert [(row["user_id"], row["group_code"]) for row in export["tables"]["group_members"]] == [(user_id, code)]

    gone = await api.request("DELETE", "/v1/users/me", json={"password": person.password}, headers=person.headers)
    assert gone.status_code == 202, gone.text
    assert code_of(await api.put(f"/v1/admin/users/{user_id}/groups/{code}", headers=admin)) == (404, "not_found")
