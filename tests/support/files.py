"""Files of products, and the imports that they are sent as."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text

from db import exports, imports
from db.base import new_id
from db.engine import Sessions
from domain.imports import FileFormat
from tests.support.waiting import eventually

IMPORTS = "/v1/admin/catalog/imports"
EXPORTS = "/v1/admin/catalog/exports"
CSV = "text/csv"
JSONL = "application/x-ndjson"
HEADER = "Handle,Title,Variant SKU,Variant Price,Variant Inventory Qty\n"


def a_mark() -> str:
    """What no other test's products have in their names."""
    return uuid4().hex[:10]


def csv_of(mark: str, rows: int, *, price: str = "5.00") -> str:
    return HEADER + "".join(f"{mark}-{n},Mug {n},{mark}-{n},{price},3\n" for n in range(rows))


def jsonl_of(*products: dict[str, Any]) -> str:
    return "".join(json.dumps(product) + "\n" for product in products)


async def a_waiting_import(sessions: Sessions, content: bytes, file_format: FileFormat = FileFormat.CSV) -> UUID:
    """An import that nobody begins by himself within the hour."""
    import_id = new_id()
    async with sessions.begin() as session:
        await imports.begin(session, import_id, file_format, "USD", actor="operator:test")
        for number, start in enumerate(range(0, len(content), imports.PIECE_BYTES)):
            await imports.keep_piece(session, import_id, number, content[start : start + imports.PIECE_BYTES])
        await imports.received(session, import_id, size=len(content))
        later = "UPDATE catalog_imports SET moved_at = now() + interval '1 hour' WHERE id = :id"
        await session.execute(text(later), {"id": import_id})
    return import_id


async def a_waiting_export(sessions: Sessions, file_format: FileFormat = FileFormat.JSONL) -> UUID:
    """An export that nobody begins by himself within the hour."""
    export_id = new_id()
    async with sessions.begin() as session:
        await exports.ask_for(session, export_id, file_format, "USD", actor="operator:test")
        later = "UPDATE catalog_exports SET created_at = now() + interval '1 hour' WHERE id = :id"
        await session.execute(text(later), {"id": export_id})
    return export_id


class Importer:
    """Somebody of the staff who sends files."""

    def __init__(self, http: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.http = http
        self.headers = headers

    async def send(self, content: Any, media_type: str = CSV, **headers: str) -> httpx.Response:
        sent = {**self.headers, "Content-Type": media_type, **headers}
        return await self.http.post(IMPORTS, content=content, headers=sent)

    async def sent(self, content: Any, media_type: str = CSV) -> str:
        """The id of an import that was just begun."""
        answer = await self.send(content, media_type)
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"{IMPORTS}/{answer.json()['id']}"
        return str(answer.json()["id"])

    async def imported(self, content: Any, media_type: str = CSV) -> dict[str, Any]:
        return await self.ended(await self.sent(content, media_type))

    async def see(self, import_id: str) -> dict[str, Any]:
        seen: dict[str, Any] = (await self.get(import_id)).json()
        return seen

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.http.get(f"{IMPORTS}/{path}", params=query, headers=self.headers)

    async def ask(self, import_id: str, what: str, **headers: str) -> httpx.Response:
        return await self.http.post(f"{IMPORTS}/{import_id}/{what}", headers={**self.headers, **headers})

    async def ended(self, import_id: str) -> dict[str, Any]:
        async def is_over() -> dict[str, Any] | None:
            seen = await self.see(import_id)
            return seen if seen["status"] in ("completed", "cancelled") else None

        return await eventually(is_over, within=60)

    async def errors(self, import_id: str) -> list[tuple[int, str, str]]:
        page = (await self.get(f"{import_id}/errors", limit=100)).json()
        assert page["next_cursor"] is None
        return [(error["line"], error["field"], error["message"]) for error in page["items"]]

    async def failed_rows(self, import_id: str, media_type: str = CSV) -> str:
        file = await self.get(f"{import_id}/failed-rows")
        assert (file.status_code, file.headers["content-type"]) == (200, media_type)
        return file.text
