"""Exports: the whole catalogue as it is at one moment, written into a file that can be imported."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.errors import Refusal


class ExportStatus(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    """Nothing is kept of it."""


ALLOWED_MOVES: dict[ExportStatus, frozenset[ExportStatus]] = {
    ExportStatus.WAITING: frozenset({ExportStatus.RUNNING, ExportStatus.CANCELLED}),
    ExportStatus.RUNNING: frozenset({ExportStatus.COMPLETED, ExportStatus.CANCELLED}),
    ExportStatus.COMPLETED: frozenset(),
    ExportStatus.CANCELLED: frozenset(),
}

ENDED = frozenset({ExportStatus.COMPLETED, ExportStatus.CANCELLED})


def check_move(current: ExportStatus, wanted: ExportStatus) -> None:
    """Refuses ``export_transition_not_allowed``, naming the moves that are, unless the table allows the move."""
    if wanted not in ALLOWED_MOVES[current]:
        raise Refusal(
            "export_transition_not_allowed",
            f"An export that is {current} cannot become {wanted}.",
            current_status=str(current),
            allowed=sorted(str(move) for move in ALLOWED_MOVES[current]),
        )


@dataclass(frozen=True, kw_only=True)
class WriteExport:
    export_id: UUID


@dataclass(frozen=True, kw_only=True)
class ExportWritten:
    export_id: UUID
    status: ExportStatus = ExportStatus.COMPLETED
    """Or cancelled, before all was written."""
    products: int
    left_out: int
