"""API keys: made by admins, shown once, good for what they were made for until they expire or are revoked."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli import app
from db.tokens import hash_of
from runtime.resources import Resources
from tests.api.test_operators import is_problem


async def a_key(api: httpx.AsyncClient, admin: dict[str, str], **otherwise: Any) -> dict[str, Any]:
    wanted = {"name": "warehouse", "permissions": ["stock.read", "stock.write"], **otherwise}
    answer = await api.post("/v1/admin/api-keys", json=wanted, headers=admin)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made: dict[str, Any] = answer.json()
    return made


def bearer(made: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {made['key']}"}


async def listed(api: httpx.AsyncClient, admin: dict[str, str], key_id: str) -> dict[str, Any]:
    items = (await api.get("/v1/admin/api-keys", params={"limit": 100}, headers=admin)).json()["items"]
    found: dict[str, Any] = next(item for item in items if item["id"] == key_id)
    return found


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(
    api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    made = await a_key(api, admin, expires_in_days=30)

    assert made["key"].startswith("sk_")
    assert len(made["key"]) == 46
    assert made["hint"] == made["key"][:7]
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lasts == timedelta(days=30)
    shown = await listed(api, admin, made["id"])
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert (shown["status"], shown["last_used_at"]) == ("active", None)
    async with resources.sessions() as session:
        row = (
            await session.execute(
                text("SELECT key_hash, to_jsonb(api_keys)::text AS whole FROM api_keys WHERE id = :id"),
                {"id": UUID(made["id"])},
            )
        ).one()
    assert row.key_hash == hash_of(made["key"])
    assert made["key"] not in row.whole


async def test_a_machine_acts_in_its_keys_name_and_its_use_is_noted(
    api: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    made = await a_key(api, admin, permissions=["catalog.transfer"])

    asked = {"format": "jsonl"}
    name = {"Idempotency-Key": str(uuid4())}
    answer = await api.post("/v1/admin/catalog/exports", json=asked, headers={**bearer(made), **name})
    again = await api.post("/v1/admin/catalog/exports", json=asked, headers={**bearer(made), **name})

    assert answer.status_code == 202, answer.text
    assert (again.status_code, again.json()["id"]) == (202, answer.json()["id"])
    log = await api.get("/v1/admin/audit", params={"actor": f"key:{made['id']}"}, headers=admin)
    assert [entry["action"] for entry in log.json()["items"]] == ["export_catalog"]
    assert (await listed(api, admin, made["id"]))["last_used_at"] is not None


async def test_a_revoked_key_opens_nothing_from_the_next_request_on(
    api: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    made = await a_key(api, admin)
    assert (await api.get("/v1/admin/stock", headers=bearer(made))).status_code == 200

    revoked = await api.delete(f"/v1/admin/api-keys/{made['id']}", headers=admin)
    answer = await api.get("/v1/admin/stock", headers=bearer(made))
    again = await api.delete(f"/v1/admin/api-keys/{made['id']}", headers=admin)

    assert (revoked.status_code, revoked.json()["status"]) == (200, "revoked")
    is_problem(answer, 401, "unauthenticated")
    assert again.json() == revoked.json()
    log = await api.get("/v1/admin/audit", headers=admin, params={"limit": 100})
    words = [(entry["action"], entry["note"]) for entry in log.json()["items"] if made["id"] in (entry["note"] or "")]
    assert words == [
        ("revoke_api_key", made["id"]),
        ("revoke_api_key", made["id"]),
        ("make_api_key", f"{made['id']} for stock.read, stock.write"),
    ]


async def test_an_expired_key_opens_nothing(
    api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    made = await a_key(api, admin)
    over = text("UPDATE api_keys SET created_at = now() - interval '2 d', expires_at = now() WHERE id = :id")
    async with resources.sessions.begin() as session:
        await session.execute(over, {"id": UUID(made["id"])})

    is_problem(await api.get("/v1/admin/stock", headers=bearer(made)), 401, "unauthenticated")
    assert (await listed(api, admin, made["id"]))["status"] == "expired"


async def test_a_key_that_nobody_made_opens_nothing(api: httpx.AsyncClient) -> None:
    is_problem(await api.get("/v1/admin/stock", headers={"Authorization": "Bearer sk_made-up"}), 401, "unauthenticated")


@pytest.mark.parametrize("permission", ["keys.manage", "account", "shop", "everything"])
async def test_no_key_is_made_for_what_only_people_may(
    api: httpx.AsyncClient, admin: dict[str, str], permission: str
) -> None:
    wanted = {"name": "too much", "permissions": ["stock.read", permission]}

    answer = await api.post("/v1/admin/api-keys", json=wanted, headers=admin)

    is_problem(answer, 422, "validation_failed")
    names = [item["name"] for item in (await api.get("/v1/admin/api-keys", headers=admin)).json()["items"]]
    assert "too much" not in names


async def test_a_key_that_is_unknown_cannot_be_revoked(api: httpx.AsyncClient, admin: dict[str, str]) -> None:
    is_problem(await api.delete(f"/v1/admin/api-keys/{uuid4()}", headers=admin), 404, "not_found")


async def test_an_admin_makes_lists_and_revokes_keys_on_the_terminal(
    api: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    token = admin["Authorization"].removeprefix("Bearer ")

    async def sutler(*arguments: str) -> str:
        told = await asyncio.to_thread(CliRunner().invoke, app, ["api-keys", *arguments, "--token", token])
        assert told.exit_code == 0, told.output
        return told.output

    key, made = (await sutler("make", "the till", "stock.read", "--days", "7")).splitlines()
    key_id = made.removeprefix("Key ")[:36]
    assert (await api.get("/v1/admin/stock", headers={"Authorization": f"Bearer {key}"})).status_code == 200
    assert "the till" in await sutler("list")
    assert (await sutler("revoke", key_id)) == f"the till ({key[:7]}…) opens nothing any more.\n"
    assert (await api.get("/v1/admin/stock", headers={"Authorization": f"Bearer {key}"})).status_code == 401
