"""Passwords, hashed beside the event loop."""

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from passlib.context import CryptContext
from passlib.exc import PasswordSizeError, PasswordValueError, UnknownHashError
from prometheus_client import Counter

from domain.errors import Refusal
from providers.stolen_passwords import ListSilent, NoList, StolenPasswords
from runtime.strength import ON_A_LIST, why_weak

Answer = TypeVar("Answer")

# OWASP's recommendation for argon2id; about 20 ms of one core. Raising a figure upgrades every hash at its next login.
ARGON2ID = {
    "argon2__type": "ID",
    "argon2__memory_cost": 19 * 1024,
    "argon2__time_cost": 2,
    "argon2__parallelism": 1,
}

NOT_LOOKED_UP = Counter(
    "sutler_passwords_not_looked_up_total", "New passwords taken while the list of stolen ones did not answer"
)

WAITING_PER_CORE = 100
"""About two seconds of work; whoever comes after that is better served by being told to come back."""


@dataclass(frozen=True)
class PasswordCheck:
    is_right: bool
    better_hash: str | None = None
    """What to store instead, when the stored hash is weaker than what we make today."""


class Passwords:
    """Makes argon2id hashes, and accepts bcrypt's as well.

    Hashing is slow on purpose. It has threads of its own, one a core: argon2 and bcrypt release the interpreter's
    lock, so the event loop goes on, and a burst of logins can neither take the threads of others nor grow for ever.
    """

    def __init__(self, stolen: StolenPasswords | None = None) -> None:
        self._stolen = stolen or NoList()
        cores = os.cpu_count() or 1
        self._context = CryptContext(schemes=["argon2", "bcrypt"], deprecated=["bcrypt"], **ARGON2ID)
        self._threads = ThreadPoolExecutor(max_workers=cores, thread_name_prefix="passwords")
        self._most_waiting = cores * WAITING_PER_CORE
        self._waiting = 0
        self._nobodys_hash: str | None = None

    async def hash(self, password: str) -> str:
        return await self._aside(self._hash, password)

    async def why_weak(self, password: str, known: Sequence[str]) -> str | None:
        """What is wrong with a new password of somebody of whom this is known; ``None`` when nothing is.

        While the list of stolen ones does not answer, how hard it is to guess decides alone.
        """
        return await self._aside(why_weak, password, known) or await self._why_stolen(password)

    async def check(self, password: str, stored_hash: str | None) -> PasswordCheck:
        """Is it the password of this hash? Without a hash, the same work is done for the answer no."""
        return await self._aside(self._check, password, stored_hash)

    async def _why_stolen(self, password: str) -> str | None:
        try:
            return ON_A_LIST if await self._stolen.has(password) else None
        except ListSilent:
            NOT_LOOKED_UP.inc()
            return None

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _hash(self, password: str) -> str:
        return str(self._context.hash(password))

    def _check(self, password: str, stored_hash: str | None) -> PasswordCheck:
        try:
            is_right, better_hash = self._context.verify_and_update(password, stored_hash or self._hash_of_nobody())
        except (PasswordSizeError, PasswordValueError, UnknownHashError, ValueError):
            return PasswordCheck(is_right=False)  # longer than bcrypt can take, or with a NUL: then it is not it
        if not is_right or stored_hash is None:
            return PasswordCheck(is_right=False)
        return PasswordCheck(is_right=True, better_hash=better_hash)

    def _hash_of_nobody(self) -> str:
        if self._nobodys_hash is None:
            self._nobodys_hash = self._hash(secrets.token_hex(16))
        return self._nobodys_hash

    async def _aside(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        if self._waiting >= self._most_waiting:
            raise Refusal("unavailable", "Too many people sign in at this moment; try again.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1
