"""What comes in and what goes out over HTTP, free of any server."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

import msgspec

from sandbox.forms import Pairs

JSON = "application/json"
HTML = "text/html; charset=utf-8"


@dataclass(slots=True)
class Call:
    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes
    caller_is_gone: Callable[[], bool]
    """True as soon as nobody waits for the answer any more."""

    @property
    def query(self) -> Pairs:
        return parse_qsl(self.query_string, keep_blank_values=True)

    @property
    def form(self) -> Pairs:
        return parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True)

    @property
    def key(self) -> str:
        """The secret key of the caller, as Bearer or as the user of Basic; empty when there is none."""
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return credentials
        try:
            return base64.b64decode(credentials).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""


@dataclass(slots=True)
class Answer:
    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


class ConnectionCut(Exception):
    """The caller gets no answer at all."""


def json(content: object, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(content))


def problem(status: int, detail: str) -> Answer:
    """An RFC 9457 problem document."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Answer(status, msgspec.json.encode(content), "application/problem+json")


def see_other(location: str) -> Answer:
    return Answer(303, headers={"Location": location})
