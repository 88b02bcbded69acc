"""Somebody who comes to the shop over HTTP, as any client would, and how that is written on a terminal."""

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from runtime.settings import Settings

Json = Any
OPERATOR = "operator@example.com"
PATIENCE = aiohttp.ClientTimeout(total=60)
AS_LONG_AS_IT_TAKES = aiohttp.ClientTimeout(total=None, sock_connect=60, sock_read=60)


class NobodyAnswersError(Exception):
    """The shop, or the sandbox, does not run where it was looked for; the message says how to start it."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"Nobody answers at {address}: start the shop with `make up` in another terminal, or load the settings of "
            "one that runs on other ports with `. .sutler/environment`."
        )


class UnwelcomeError(Exception):
    """The shop refused what the visitor counted on."""

    def __init__(self, answer: "Answer") -> None:
        problem: dict[str, Any] = answer.body if isinstance(answer.body, dict) else {}
        wrong = "".join(f" {error['pointer']}: {error['detail']}." for error in problem.get("errors", []))
        self.detail = f"{problem.get('detail', answer.body)}{wrong}"
        super().__init__(f"{answer.status} {problem.get('code', '')} from {answer.asked}: {self.detail}")


@dataclass(frozen=True)
class Answer:
    asked: str
    status: int
    body: Json
    headers: Mapping[str, str]


@dataclass
class Visitor:
    """A guest until :meth:`sign_in`."""

    http: aiohttp.ClientSession
    address: str
    token: str | None = None

    async def ask(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Whatever is answered; raises ``NobodyAnswersError`` when nothing is."""
        sent = {**({"Authorization": f"Bearer {self.token}"} if self.token else {}), **(headers or {})}
        try:
            async with self.http.request(
                method, self.address + path, json=body, params=query, headers=sent, allow_redirects=False
            ) as response:
                answered = await response.json(content_type=None) if "json" in response.content_type else None
                return Answer(f"{method} {path}", response.status, answered, response.headers)
        except (aiohttp.ClientConnectionError, TimeoutError):
            raise NobodyAnswersError(self.address) from None

    async def get(self, path: str, **query: str) -> Json:
        return await self.done("GET", path, query=query)

    async def done(self, method: str, path: str, body: Json = None, *, query: Mapping[str, str] | None = None) -> Json:
        """The body of a success; raises ``UnwelcomeError`` for anything else."""
        answer = await self.ask(method, path, body, query=query)
        if answer.status >= 400:
            raise UnwelcomeError(answer)
        return answer.body

    async def send_file(self, path: str, file: Path, media_type: str, *, query: Mapping[str, str]) -> Json:
        """However long it takes; the body of the answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": media_type}
        try:
            with file.open("rb") as content:
                async with self.http.post(
                    self.address + path, data=content, params=query, headers=headers, timeout=AS_LONG_AS_IT_TAKES
                ) as response:
                    answer = Answer(f"POST {path}", response.status, await response.json(content_type=None), {})
        except (aiohttp.ClientConnectionError, TimeoutError):
            raise NobodyAnswersError(self.address) from None
        if answer.status >= 400:
            raise UnwelcomeError(answer)
        return answer.body

    async def save_file(self, path: str, file: Path) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            async with self.http.get(self.address + path, headers=headers, timeout=AS_LONG_AS_IT_TAKES) as response:
                if response.status >= 400:
                    raise UnwelcomeError(Answer(f"GET {path}", response.status, await response.json(), {}))
                with file.open("wb") as sink:
                    async for part in response.content.iter_chunked(64 * 1024):
                        sink.write(part)
        except (aiohttp.ClientConnectionError, TimeoutError):
            raise NobodyAnswersError(self.address) from None

    async def sign_in(self, email: str, password: str) -> None:
        pair = await self.done("POST", "/v1/auth/login", {"email": email, "password": password})
        self.token = pair["access_token"]


@asynccontextmanager
async def visitors(settings: Settings) -> AsyncIterator[Visitor]:
    """A first guest of the shop that the settings name; its ``http`` serves others too."""
    async with aiohttp.ClientSession(timeout=PATIENCE) as http:
        yield Visitor(http, settings.shop.public_url)


def terminal() -> Console:
    """Colours on a terminal, plain text of a fixed width in a pipe."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False, emoji=False)


def as_json(told: Json) -> str:
    """For programs."""
    return json.dumps(told, indent=2)


def money(amount: Mapping[str, str]) -> str:
    return f"{amount['currency']} {amount['amount']}"
