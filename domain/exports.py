"""Exports: the whole catalogue as it is at one moment, written into a file that can be imported."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class ExportStatus(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"


ALLOWED_MOVES: dict[ExportStatus, frozenset[ExportStatus]] = {
    ExportStatus.WAITING: frozenset({ExportStatus.RUNNING}),
    ExportStatus.RUNNING: frozenset({ExportStatus.COMPLETED}),
    ExportStatus.COMPLETED: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class WriteExport:
    export_id: UUID


@dataclass(frozen=True, kw_only=True)
class ExportWritten:
    export_id: UUID
    products: int
    left_out: int
