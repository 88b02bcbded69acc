"""Keyset pages: stable while rows come and go, and as fast on the last page as on the first."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

from litestar.params import Parameter

from domain.catalog_files import why_not_storable
from domain.errors import Refusal

Row = TypeVar("Row")

Limit = Annotated[int, Parameter(query="limit", ge=1, le=100, default=20, description="Rows on one page")]
Cursor = Annotated[
    str | None, Parameter(query="cursor", max_length=512, default=None, description="`next_cursor` of the page before")
]


def encode_cursor(position: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, length: int) -> list[Any] | None:
    """The position a cursor stands for, ``None`` for the first page; refuses ``malformed_request`` for a forged one."""
    if cursor is None:
        return None
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        position = None
    if not isinstance(position, list) or len(position) != length:
        raise forged()
    return position


def forged() -> Refusal:
    return Refusal("malformed_request", "This cursor was not made by this list.")


def id_in_cursor(cursor: str | None) -> UUID | None:
    """The same where rows lie in the order of their ids, and an id is the whole position."""
    position = decode_cursor(cursor, length=1)
    return uuid_in_cursor(position[0]) if position else None


def code_in_cursor(cursor: str | None) -> str | None:
    """The same where rows lie in the order of their codes."""
    match decode_cursor(cursor, length=1):
        case None:
            return None
        case [str(code)] if why_not_storable(code) is None:
            return code
    raise forged()


def number_in_cursor(cursor: str | None) -> int | None:
    """The same where rows lie in the order of their numbers."""
    match decode_cursor(cursor, length=1):
        case None:
            return None
        case [int(number)] if not isinstance(number, bool) and 0 <= number < 2**63:
            return number
    raise forged()


def cursor_behind(rows: Sequence[Row], limit: int, id_of: Callable[[Row], Any]) -> str | None:
    """The cursor of the next page, ``None`` when no row was found beyond the ``limit`` of this one."""
    return encode_cursor([str(id_of(rows[limit - 1]))]) if len(rows) > limit else None


def uuid_in_cursor(value: Any) -> UUID:
    """Refuses ``malformed_request`` for what is none."""
    try:
        return UUID(value)
    except (AttributeError, TypeError, ValueError):
        raise forged() from None
