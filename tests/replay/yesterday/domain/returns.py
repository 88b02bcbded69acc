"""Returns: delivered goods come back, and the money for them goes back."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from tests.replay.yesterday.domain.errors import Refusal
from tests.replay.yesterday.domain.refunds import RefundMoney


class ReturnStatus(StrEnum):
    REQUESTED = "requested"
    APPROVED = "approved"
    RECEIVED = "received"
    """The goods are here; what was paid for them is on its way back."""
    REFUNDED = "refunded"
    REJECTED = "rejected"
    """Not accepted, or approved and never sent."""


ALLOWED_MOVES: dict[ReturnStatus, frozenset[ReturnStatus]] = {
    ReturnStatus.REQUESTED: frozenset({ReturnStatus.APPROVED, ReturnStatus.REJECTED}),
    ReturnStatus.APPROVED: frozenset({ReturnStatus.RECEIVED, ReturnStatus.REJECTED}),
    ReturnStatus.RECEIVED: frozenset({ReturnStatus.REFUNDED}),
    ReturnStatus.REFUNDED: frozenset(),
    ReturnStatus.REJECTED: frozenset(),
}


def check_move(current: ReturnStatus, wanted: ReturnStatus) -> None:
    """Refuses ``return_transition_not_allowed``, naming the moves that are, unless the table allows the move."""
    if wanted not in ALLOWED_MOVES[current]:
        raise Refusal(
            "return_transition_not_allowed",
            f"A return that is {current} cannot become {wanted}.",
            current_status=str(current),
            allowed=sorted(str(move) for move in ALLOWED_MOVES[current]),
        )


@dataclass(frozen=True, kw_only=True)
class FollowReturn:
    """What the story of one return begins with."""

    return_id: UUID
    order_id: UUID
    order_number: str


@dataclass(frozen=True, kw_only=True)
class DecideReturn:
    return_id: UUID
    order_id: UUID
    decision: ReturnStatus
    """``approved`` or ``rejected``."""
    actor: str


@dataclass(frozen=True, kw_only=True)
class ReceivedUnits:
    order_line_id: UUID
    quantity: int
    is_resellable: bool = True
    """Only these go back into the stock."""


@dataclass(frozen=True, kw_only=True)
class ReceiveReturn:
    return_id: UUID
    order_id: UUID
    refund_id: UUID
    actor: str
    items: list[ReceivedUnits] = field(default_factory=list)
    """What was in the parcel; empty for all that was announced."""


@dataclass(frozen=True, kw_only=True)
class SettleReturn:
    return_id: UUID
    order_id: UUID


@dataclass(frozen=True, kw_only=True)
class ReturnState:
    return_id: UUID
    status: ReturnStatus
    refund: RefundMoney | None = None
    """What has to be paid back now; ``None`` when nothing is left to pay back."""
