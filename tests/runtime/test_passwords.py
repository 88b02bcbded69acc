"""How passwords are hashed and checked."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import bcrypt
import pytest
from argon2 import PasswordHasher

from domain.errors import Refusal
from runtime.passwords import Passwords

PASSWORD = "correct horse battery"


class Observed(Passwords):
    """Notes what was verified against what, and on which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.verified: list[str] = []
        self.threads: set[str] = set()
        original = self._context.verify_and_update

        def verify_and_update(secret: str, stored: str) -> Any:
            self.verified.append(stored)
            self.threads.add(threading.current_thread().name)
            return original(secret, stored)

        self._context.verify_and_update = verify_and_update


@pytest.fixture
def passwords() -> Iterator[Observed]:
    observed = Observed()
    yield observed
    observed.close()


async def test_a_password_becomes_an_argon2id_hash_that_only_it_opens(passwords: Passwords) -> None:
    stored = await passwords.hash(PASSWORD)

    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await passwords.check(PASSWORD, stored)).is_right
    assert not (await passwords.check(PASSWORD + " ", stored)).is_right


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    assert await passwords.hash(PASSWORD) != await passwords.hash(PASSWORD)


async def test_a_hash_of_today_needs_no_replacement(passwords: Passwords) -> None:
    assert (await passwords.check(PASSWORD, await passwords.hash(PASSWORD))).better_hash is None


async def test_a_bcrypt_hash_is_accepted_and_a_better_one_offered(passwords: Passwords) -> None:
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()

    check = await passwords.check(PASSWORD, stored)

    assert check.is_right
    assert check.better_hash is not None
    assert check.better_hash.startswith("$argon2id$")
    assert (await passwords.check(PASSWORD, check.better_hash)).is_right


async def test_a_weaker_argon2_hash_is_accepted_and_a_better_one_offered(passwords: Passwords) -> None:
    stored = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)

    check = await passwords.check(PASSWORD, stored)

    assert check.is_right
    assert check.better_hash is not None
    assert ",t=2," in check.better_hash


async def test_a_wrong_password_gets_no_better_hash(passwords: Passwords) -> None:
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    check = await passwords.check("another one", stored)
    assert not check.is_right
    assert check.better_hash is None


async def test_without_a_hash_one_is_verified_all_the_same(passwords: Observed) -> None:
    check = await passwords.check(PASSWORD, None)

    assert not check.is_right
    [verified] = passwords.verified
    parameters = verified.split("$")[1:4]
    assert parameters == (await passwords.hash(PASSWORD)).split("$")[1:4]


@pytest.mark.parametrize("password", ["p" * 1000, "nul\0nul\0nul"])
@pytest.mark.parametrize("kind", ["bcrypt", "argon2"])
async def test_what_a_hash_cannot_take_is_simply_wrong(passwords: Passwords, kind: str, password: str) -> None:
    stored = (
        bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode() if kind == "bcrypt" else await passwords.hash("x")
    )
    assert not (await passwords.check(password, stored)).is_right


async def test_hashing_happens_on_threads_of_its_own(passwords: Observed) -> None:
    await passwords.check(PASSWORD, None)
    [name] = passwords.threads
    assert name.startswith("passwords")


async def test_more_than_can_be_done_soon_is_turned_away_rather_than_queued(passwords: Passwords) -> None:
    passwords._most_waiting = 2
    asked = await asyncio.gather(*(passwords.check(PASSWORD, None) for _ in range(5)), return_exceptions=True)

    turned_away = [answer for answer in asked if isinstance(answer, Refusal)]
    assert [refusal.code for refusal in turned_away] == ["unavailable"] * 3
    assert (await passwords.check(PASSWORD, None)).is_right is False
