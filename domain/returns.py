"""Returns: delivered goods come back, and the money for them goes back."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from domain.errors import Refusal
from domain.refunds import RefundMoney


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


class OrderReturnStatus(StrEnum):
    """How far an order has come back, all its returns taken together."""

    NONE = "none"
    REQUESTED = "requested"
    IN_PROGRESS = "in_progress"
    """A return is approved or here, and not paid back."""
    PARTIALLY_RETURNED = "partially_returned"
    RETURNED = "returned"


OPEN_RETURNS = frozenset({OrderReturnStatus.REQUESTED, OrderReturnStatus.IN_PROGRESS})
"""Something may come back, or has come and is not paid back."""

MOVES_OF_ORDERS: dict[OrderReturnStatus, frozenset[OrderReturnStatus]] = {
    OrderReturnStatus.NONE: frozenset({OrderReturnStatus.REQUESTED}),
    OrderReturnStatus.REQUESTED: frozenset(
        {OrderReturnStatus.IN_PROGRESS, OrderReturnStatus.NONE, OrderReturnStatus.PARTIALLY_RETURNED}
    ),
    OrderReturnStatus.IN_PROGRESS: frozenset(
        {
            OrderReturnStatus.NONE,
            OrderReturnStatus.REQUESTED,
            OrderReturnStatus.PARTIALLY_RETURNED,
            OrderReturnStatus.RETURNED,
        }
    ),
    OrderReturnStatus.PARTIALLY_RETURNED: frozenset({OrderReturnStatus.REQUESTED, OrderReturnStatus.RETURNED}),
    OrderReturnStatus.RETURNED: frozenset(),
}


def status_of_order(returns: Collection[ReturnStatus], *, returned: int, wanted: int) -> OrderReturnStatus:
    """What is open counts before what has come back: ``returned`` of the ``wanted`` units of the order."""
    if {ReturnStatus.APPROVED, ReturnStatus.RECEIVED} & set(returns):
        return OrderReturnStatus.IN_PROGRESS
    if ReturnStatus.REQUESTED in returns:
        return OrderReturnStatus.REQUESTED
    if returned == 0:
        return OrderReturnStatus.NONE
    return OrderReturnStatus.RETURNED if returned >= wanted else OrderReturnStatus.PARTIALLY_RETURNED


def check_move_of_order(current: OrderReturnStatus, wanted: OrderReturnStatus) -> None:
    """What an order's returns add up to follows from them; a move that is not in the table is a mistake of ours."""
    if wanted is not current and wanted not in MOVES_OF_ORDERS[current]:
        raise AssertionError(f"the returns of an order cannot go from {current} to {wanted}")


def allowed_moves(current: ReturnStatus) -> list[str]:
    return sorted(str(move) for move in ALLOWED_MOVES[current])


def check_move(current: ReturnStatus, wanted: ReturnStatus) -> None:
    """Refuses ``return_transition_not_allowed``, naming the moves that are, unless the table allows the move."""
    if wanted not in ALLOWED_MOVES[current]:
        raise Refusal(
            "return_transition_not_allowed",
            f"A return that is {current} cannot become {wanted}.",
            current_status=str(current),
            allowed=allowed_moves(current),
        )


@dataclass(frozen=True, kw_only=True)
class FollowReturn:
    """What the story of one return begins with."""

    return_id: UUID
    order_id: UUID
    order_number: str
    status: ReturnStatus = ReturnStatus.REQUESTED
    """Where the return stands when its story begins, or begins again."""


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
    actor: str = "system"
    """Whoever says that the money is seen to, when the provider refuses to refund it."""


@dataclass(frozen=True, kw_only=True)
class ReturnState:
    return_id: UUID
    status: ReturnStatus
    refund: RefundMoney | None = None
    """What has to be paid back now; ``None`` when nothing is left to pay back."""
