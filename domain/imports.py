"""Imports: files of products on their way into the catalogue, portion after portion."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from domain import catalog_jsonl, shopify_csv
from domain.catalog_files import Entry, NumberedLine, Reading
from domain.errors import Refusal

LONGEST_LINE = 4 * 1024 * 1024


class FileFormat(StrEnum):
    CSV = "csv"
    """As Shopify has it."""
    JSONL = "jsonl"

    def entries(self, lines: Iterable[NumberedLine], reading: Reading, currency: str) -> Iterator[Entry]:
        """What a file of this format says, product by product."""
        read = shopify_csv.entries if self is FileFormat.CSV else catalog_jsonl.entries
        return read(lines, reading, currency)


class ImportStatus(StrEnum):
    RECEIVING = "receiving"
    """The file is still on its way; one that never comes to its end is thrown away."""
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    """Every row was read; those that failed can be tried again."""
    CANCELLED = "cancelled"
    """What was imported before stays."""


ALLOWED_MOVES: dict[ImportStatus, frozenset[ImportStatus]] = {
    ImportStatus.RECEIVING: frozenset({ImportStatus.WAITING}),
    ImportStatus.WAITING: frozenset({ImportStatus.RUNNING, ImportStatus.CANCELLED}),
    ImportStatus.RUNNING: frozenset({ImportStatus.COMPLETED, ImportStatus.CANCELLED}),
    ImportStatus.COMPLETED: frozenset({ImportStatus.WAITING}),
    ImportStatus.CANCELLED: frozenset(),
}

ENDED = frozenset({ImportStatus.COMPLETED, ImportStatus.CANCELLED})


def check_move(current: ImportStatus, wanted: ImportStatus) -> None:
    """Refuses ``import_transition_not_allowed``, naming the moves that are, unless the table allows the move."""
    if wanted not in ALLOWED_MOVES[current]:
        raise Refusal(
            "import_transition_not_allowed",
            f"An import that is {current} cannot become {wanted}.",
            current_status=str(current),
            allowed=sorted(str(move) for move in ALLOWED_MOVES[current]),
        )


@dataclass(frozen=True, kw_only=True)
class ImportCatalog:
    """What the story of one pass over an import's rows begins with."""

    import_id: UUID
    attempt: int = 1
    """The first reads the file, later ones the rows that failed."""
    chunk: int = 0
    """Where its run begins."""
    chunks_of_a_run: int = 500
    """So often it asks for chunks: a history that grows any longer takes long to replay."""
    turn_seconds: float = 5.0
    """For so long a worker goes on with further chunks before it tells the engine, which costs as much as a chunk."""


@dataclass(frozen=True, kw_only=True)
class ReadChunk:
    import_id: UUID
    attempt: int
    number: int
    turn_seconds: float = 0.0
    """As long as that is not over, the chunks behind this one are read, too."""


@dataclass(frozen=True, kw_only=True)
class ImportProgress:
    import_id: UUID
    status: ImportStatus
    is_over: bool
    """Nothing is left to be read in this pass."""
    rows: int
    failed: int
    chunks: int = 0
    """How many are done in this pass, which is the number of the next one."""


@dataclass(frozen=True, kw_only=True)
class TidyUp:
    """Throw away what is kept of what ended so long ago."""

    older_than_seconds: float


@dataclass(frozen=True, kw_only=True)
class Tidied:
    imports: int
    exports: int = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a file, as it stands there."""

    line: int
    content: bytes


@dataclass(slots=True)
class Window:
    """A stretch of a file: whole lines, or the rest of it."""

    first_line: int
    lines: list[bytes]
    is_the_rest: bool

    @classmethod
    def of(cls, content: bytes, *, first_line: int, is_the_rest: bool) -> "Window":
        """The lines of the content; without the last one when it may go on behind it."""
        lines = lines_of(content)
        if not is_the_rest and lines and not lines[-1].endswith(b"\n") and len(lines[-1]) < LONGEST_LINE:
            lines.pop()
        return cls(first_line, lines, is_the_rest)

    def numbered(self) -> Iterator[NumberedLine]:
        return enumerate(self.lines, start=self.first_line)

    @property
    def ends_before(self) -> int:
        return self.first_line + len(self.lines)

    def bytes_before(self, line: int) -> int:
        return sum(map(len, self.lines[: line - self.first_line]))

    def rows_of(self, entry: Entry) -> list[Row]:
        return [
            Row(line=first, content=b"".join(self.lines[first - self.first_line : last - self.first_line + 1]))
            for first, last in entry.rows
        ]


@dataclass(slots=True)
class Portion:
    """Some whole products of a file, and where the next ones begin."""

    entries: list[Entry] = field(default_factory=list)
    ends_before: int | None = None
    """The line that the next portion begins with; ``None`` when there is none."""
    keys: Reading = field(default_factory=Reading)


def portion_of(
    window: Window, file_format: FileFormat, currency: str, *, header: bytes, most_rows: int, seen: Reading
) -> Portion | None:
    """The first products of the window, with about so many rows; ``None`` when not one of them is there as a whole.

    ``seen`` has the keys that earlier portions used, and hears where the header ends.
    """
    lines = chain_header(header, window.numbered())
    portion, rows, last = Portion(keys=seen), 0, None
    for entry in file_format.entries(lines, seen, currency):
        if last is not None:
            portion.entries.append(last)
            rows += len(last.rows)
            if rows >= most_rows:
                portion.ends_before = entry.line
                return portion
        last = entry
    if seen.is_given_up or window.is_the_rest:
        portion.entries += [last] if last is not None else []
        return portion
    if portion.entries and last is not None:
        portion.ends_before = last.line
        return portion
    return None


def lines_of(content: bytes) -> list[bytes]:
    """Lines of bounded length, as every reader of files cuts them."""
    source = io.BytesIO(content)
    return list(iter(lambda: source.readline(LONGEST_LINE), b""))


def chain_header(header: bytes, lines: Iterable[NumberedLine]) -> Iterator[NumberedLine]:
    yield from enumerate(lines_of(header), start=1)
    yield from lines
