"""People who have an account, and what it takes to get one."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    CUSTOMER = "customer"
    OPERATOR = "operator"
    ADMIN = "admin"


class AccountStatus(StrEnum):
    PENDING_VERIFICATION = "pending_verification"
    ACTIVE = "active"


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
