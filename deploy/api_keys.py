"""``sutler api-keys``: API keys of the running shop, asked over HTTP as an admin would."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from deploy.orders import as_operator
from deploy.visitor import Json, Visitor, as_json
from runtime.settings import Settings

KEYS = "/v1/admin/api-keys"


def list_keys(*, for_programs: bool, token: str | None) -> int:
    """Print the newest keys; the exit code."""

    async def look(admin: Visitor, _: Settings, console: Console) -> None:
        found = await admin.get(KEYS, limit="100")
        console.print(as_json(found["items"]) if for_programs else keys_table(found["items"]), soft_wrap=for_programs)

    return as_operator(look, token)


def make_key(name: str, permissions: Sequence[str], days: int, token: str | None) -> int:
    """Make a key and print it; the exit code."""

    async def make(admin: Visitor, _: Settings, console: Console) -> None:
        wanted = {"name": name, "permissions": list(permissions), "expires_in_days": days}
        made = await admin.done("POST", KEYS, wanted)
        console.print(made["key"], soft_wrap=True)
        console.print(f"Key {made['id']}, good until {made['expires_at']}. It is shown this once.", soft_wrap=True)

    return as_operator(make, token)


def revoke_key(key_id: str, token: str | None) -> int:
    """Revoke a key; the exit code."""

    async def revoke(admin: Visitor, _: Settings, console: Console) -> None:
        revoked = await admin.done("DELETE", f"{KEYS}/{key_id}")
        console.print(f"{revoked['name']} ({revoked['hint']}…) opens nothing any more.", soft_wrap=True)

    return as_operator(revoke, token)


def keys_table(keys: Sequence[Json]) -> Table:
    table = Table(show_edge=False)
    for heading in ("id", "name", "key", "status", "until", "last used", "permissions"):
        table.add_column(heading, overflow="fold")
    for key in keys:
        last = (key["last_used_at"] or "never")[:16]
        words = ", ".join(key["permissions"])
        table.add_row(key["id"], key["name"], f"{key['hint']}…", key["status"], key["expires_at"][:10], last, words)
    return table
