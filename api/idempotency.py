"""Wishes that have a name: repeated with the same body they are the same wish, however often and however late."""

import hashlib
from typing import Annotated, Any

from litestar import Request
from litestar.params import Parameter
from pydantic import BaseModel

from api.auth import Caller

Key = Annotated[
    str | None,
    Parameter(
        header="Idempotency-Key",
        default=None,
        required=False,
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Names this wish: repeated with the same body it gets the first answer again",
    ),
]


def fingerprint(data: BaseModel, *subject: object) -> bytes:
    """Tells one request from another: the body, and what it is about."""
    return hashlib.sha256("\n".join([data.model_dump_json(), *map(str, subject)]).encode()).digest()


def caller_key(caller: Caller, request: Request[Any, Any, Any]) -> str:
    """Whose Idempotency-Keys these are: a customer's own, or those of a guest's network address, not in clear."""
    if caller.is_signed_in:
        return caller.name
    address = request.client.host if request.client else ""
    return f"guest:{hashlib.sha256(address.encode()).hexdigest()[:16]}"
