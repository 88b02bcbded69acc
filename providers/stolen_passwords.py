"""Passwords that were stolen somewhere: they are on the lists of everybody who tries."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Ask = Callable[[str, Mapping[str, str]], Awaitable[str | None]]
"""What is answered to a path and headers; ``None`` when nobody answers as one should."""

TOLD = 5
"""Letters of the forty of a hash; some thousand passwords of the list share them."""


class ListSilent(Exception):
    """Nobody said whether the password is on the list."""


class StolenPasswords(Protocol):
    async def has(self, password: str) -> bool:
        """Raises ``ListSilent``."""


class NoList:
    """For shops that ask nobody."""

    async def has(self, password: str) -> bool:  # noqa: ARG002
        return False


class PwnedPasswords:
    """Have I Been Pwned's list, or a copy of it.

    It is told how the hash of a password begins and answers with the ends of all that begin so, and with some that it
    has made up (their count is zero): neither it nor who listens to us learns which one was meant.
    """

    def __init__(self, ask: Ask, guard: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._ask = ask
        self._guard = guard

    async def has(self, password: str) -> bool:
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        with self._guard():
            told = await self._ask(f"/range/{digest[:TOLD]}", {"Add-Padding": "true"})
            if told is None:
                raise ListSilent
        counts = dict(line.split(":") for line in told.split() if line.count(":") == 1)
        return counts.get(digest[TOLD:], "0") != "0"
