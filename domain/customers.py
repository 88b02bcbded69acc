"""People who have an account, and what it takes to get one."""

import re
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

USERNAME_LENGTH = range(3, 51)
PASSWORD_LENGTH = range(8, 101)
USERNAME = re.compile(r"[A-Za-z0-9_.-]+")


class Role(StrEnum):
    """What each may is in ``domain.permissions``."""

    CUSTOMER = "customer"
    SUPPORT = "support"
    OPERATOR = "operator"
    ADMIN = "admin"


class AccountStatus(StrEnum):
    PENDING_VERIFICATION = "pending_verification"
    ACTIVE = "active"
    CLOSED = "closed"
    """Its person wants to be forgotten, or is."""


class AccountState(StrEnum):
    """What a step found or left: an account may vanish while a story waits."""

    GONE = "gone"
    PENDING = "pending"
    ACTIVE = "active"


def acceptable_username(username: str) -> str:
    """The username without the blanks around it; ``ValueError`` says in a sentence what is wrong with it."""
    username = username.strip()
    if len(username) not in USERNAME_LENGTH:
        raise ValueError("A username has 3 to 50 characters.")
    if not USERNAME.fullmatch(username):
        raise ValueError("A username is made of letters, digits and `_ . -`.")
    return username


def acceptable_password(password: str) -> str:
    """The password as it is, blanks included; ``ValueError`` never repeats any of it."""
    if len(password) not in PASSWORD_LENGTH:
        raise ValueError("A password has 8 to 100 characters.")
    if "\0" in password:
        raise ValueError("A password has no NUL character.")
    return password


@dataclass(frozen=True, kw_only=True)
class RegisterCustomer:
    """Follow an account from its row to its verification or its expiry."""

    user_id: UUID
    reminder_after_seconds: int
    expires_after_seconds: int


@dataclass(frozen=True, kw_only=True)
class Customer:
    user_id: UUID


class RegistrationOutcome(StrEnum):
    VERIFIED = "verified"
    EXPIRED = "expired"
    NEVER_MADE = "never_made"
    """The request that started the workflow did not commit its row."""
