"""Forgetting people: their orders stay with their sums, and nobody is in them any more."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

NOBODY = "erased"
"""Stands where a name, an address or somebody's words stood."""

NO_MAIL = f"{NOBODY}@{NOBODY}.invalid"
"""An address that nobody can have (RFC 2606), and to which nothing is sent."""


@dataclass(frozen=True, kw_only=True)
class ErasePerson:
    erasure_id: UUID


@dataclass(frozen=True, kw_only=True)
class ErasureState:
    """What a step found; an erasure that was not committed is none."""

    was_asked: bool
    open_orders: int = 0


class ErasureOutcome(StrEnum):
    ERASED = "erased"
    NEVER_ASKED = "never_asked"
    """The request that started the workflow did not commit its row."""
