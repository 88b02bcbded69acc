"""A client that does not lose its nerve: it asks again when nothing, or "not now", is answered."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from chaos.wishes import Diary, Json

NOT_NOW = ("unavailable", "rate_limited", "internal_error")
"""Problem codes after which one asks again. Every other refusal is an answer."""
LONGEST = aiohttp.ClientTimeout(total=15)
LONGEST_INSISTING = 240.0


@dataclass(frozen=True)
class Reply:
    status: int
    body: Json

    @property
    def code(self) -> str | None:
        return self.body.get("code") if isinstance(self.body, dict) else None

    @property
    def is_done(self) -> bool:
        return self.status < 400

    @property
    def is_not_now(self) -> bool:
        return (self.status >= 500 and self.code in (*NOT_NOW, None)) or self.status == 429


class NobodyAnsweredError(Exception):
    """The shop was silent for longer than any fault lasts."""


class Client:
    """A guest, or somebody with an account."""

    def __init__(
        self, http: aiohttp.ClientSession, address: str, diary: Diary, credentials: tuple[str, str] | None = None
    ) -> None:
        self._http = http
        self._address = address
        self._diary = diary
        self._credentials = credentials
        self._token: str | None = None

    @property
    def has_account(self) -> bool:
        return self._credentials is not None

    async def ask(self, method: str, path: str, body: Json = None, *, key: str | None = None) -> Reply | None:
        """What is answered to one try; ``None`` for silence."""
        if self._credentials and self._token is None:
            await self._sign_in()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self._send(method, path, body, headers)

    async def insist(self, method: str, path: str, body: Json = None, *, key: str | None = None) -> Reply:
        """The first real answer, however often that has to be asked for."""
        deadline = time.monotonic() + LONGEST_INSISTING
        while time.monotonic() < deadline:
            reply = await self.ask(method, path, body, key=key)
            if reply is not None and reply.status == 401 and self._credentials:
                self._token = None
            elif reply is not None and not reply.is_not_now:
                return reply
            await asyncio.sleep(random.uniform(0.1, 0.4))
        self._diary.bugs.append(f"{method} {path} was not answered for {LONGEST_INSISTING:.0f} s")
        raise NobodyAnsweredError(path)

    async def _sign_in(self) -> None:
        assert self._credentials is not None
        email, password = self._credentials
        while self._token is None:
            reply = await self._send("POST", "/v1/auth/login", {"email": email, "password": password}, {})
            if reply is not None and reply.status == 200:
                self._token = reply.body["access_token"]
            else:
                await asyncio.sleep(0.3)

    async def _send(self, method: str, path: str, body: Json, headers: dict[str, str]) -> Reply | None:
        url = self._address + path
        try:
            async with self._http.request(
                method, url, json=body, headers=headers, timeout=LONGEST, allow_redirects=False
            ) as answer:
                told: Any = await answer.json(content_type=None) if "json" in answer.content_type else None
                reply = Reply(answer.status, told)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            self._diary.silences += 1
            return None
        self._diary.note(f"{method} {path}", reply.status, reply.body)
        return reply
