"""People who register and sign in over HTTP, as any client would."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.support.waiting import eventually

PASSWORD = "correct horse battery"


@dataclass
class Person:
    """Somebody nobody else is; ``access_token`` and ``refresh_token`` are there after :meth:`sign_in`."""

    http: httpx.AsyncClient
    username: str = field(default_factory=lambda: f"ada.{uuid4().hex[:12]}")
    password: str = PASSWORD
    email: str = ""
    access_token: str = ""
    refresh_token: str = ""

    def __post_init__(self) -> None:
        self.email = self.email or f"{self.username}@example.com"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    async def register(self, **otherwise: Any) -> httpx.Response:
        body = {"username": self.username, "email": self.email, "password": self.password, **otherwise}
        return await self.http.post("/v1/auth/register", json=body)

    async def verify(self, sandbox: httpx.AsyncClient) -> httpx.Response:
        return await self.http.post("/v1/auth/verify-email", json={"token": await mailed_token(sandbox, self.email)})

    async def log_in(self, **otherwise: Any) -> httpx.Response:
        return await self.http.post(
            "/v1/auth/login", json={"email": self.email, "password": self.password, **otherwise}
        )

    async def sign_in(self) -> "Person":
        answer = await self.log_in()
        assert answer.status_code == 200, answer.text
        self.access_token, self.refresh_token = answer.json()["access_token"], answer.json()["refresh_token"]
        return self

    async def me(self) -> httpx.Response:
        return await self.http.get("/v1/users/me", headers=self.headers)

    async def is_signed_out(self) -> bool:
        return (await self.me()).status_code == 401

    async def refresh(self, token: str | None = None) -> httpx.Response:
        return await self.http.post("/v1/auth/refresh", json={"refresh_token": token or self.refresh_token})


async def a_verified_person(http: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    person = Person(http)
    assert (await person.register()).status_code == 202
    assert (await person.verify(sandbox)).status_code == 200
    return person


async def mails_to(sandbox: httpx.AsyncClient, email: str, *, at_least: int = 1) -> list[dict[str, Any]]:
    """What was mailed to this address, once there is as much as is waited for."""
    async with asyncio.timeout(30):
        while True:
            found: list[dict[str, Any]] = (await sandbox.get("/mail", params={"to": email})).json()["items"]
            if len(found) >= at_least:
                return found
            await asyncio.sleep(0.05)


async def mailed_token(sandbox: httpx.AsyncClient, email: str, page: str = "verify-email") -> str:
    """The token of the newest link to this page that was mailed to the address."""
    [*_, newest] = await mailed_tokens(sandbox, email, page)
    return newest


async def mailed_tokens(
    sandbox: httpx.AsyncClient, email: str, page: str = "verify-email", *, at_least: int = 1
) -> list[str]:
    """The newest last, once there are as many as are waited for."""

    async def found() -> list[str] | None:
        mails = await mails_to(sandbox, email, at_least=0)
        links = [re.search(rf"/{page}\?token=([\w.-]+)", mail["text"]) for mail in mails]
        tokens = [link[1] for link in links if link]
        return tokens if len(tokens) >= at_least else None

    return await eventually(found)
