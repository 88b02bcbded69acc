"""One chunk of an import: read, merged into the catalogue and noted, all in one transaction."""

from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.ext.asyncio import AsyncSession

from db import imports
from db.catalog_import import Imported, import_within
from db.imports import PIECE_BYTES, CatalogImport
from domain.catalog import ProductRecord, RowError
from domain.catalog_files import Entry, Reading
from domain.imports import (
    ENDED,
    FileFormat,
    ImportProgress,
    ImportStatus,
    Portion,
    ReadChunk,
    Row,
    Window,
    chain_header,
    lines_of,
    portion_of,
)

WINDOW_BYTES = 2 * PIECE_BYTES
WIDEST_WINDOW_BYTES = 64 * PIECE_BYTES
"""A product that takes more of a file is read in parts, whatever comes of it: no file can fill the memory."""


async def read(session: AsyncSession, wanted: ReadChunk, *, most_rows: int) -> ImportProgress:
    """Import the next rows, unless that was done before or the import is over."""
    made = await imports.locked(session, wanted.import_id)
    if made.attempt == wanted.attempt and made.chunks == wanted.number and made.status not in ENDED:
        if made.status == ImportStatus.WAITING:
            imports.move(made, ImportStatus.RUNNING)
            made.started_at = made.started_at or func.now()
        if made.attempt == 1:
            is_over = await _read_file(session, made, most_rows)
        else:
            is_over = await _read_failed_rows(session, made, most_rows)
        made.chunks += 1
        if is_over:
            imports.move(made, ImportStatus.COMPLETED)
        await session.flush()
    return ImportProgress(
        import_id=made.id,
        status=ImportStatus(made.status),
        is_over=made.status in ENDED or made.attempt != wanted.attempt,
        rows=made.rows,
        failed=made.failed,
        chunks=made.chunks,
    )


# --- the file -------------------------------------------------------------------------------------------------------


async def _read_file(session: AsyncSession, made: CatalogImport, most_rows: int) -> bool:
    """The next products of the file; is that all of it?"""
    window, portion = await _next_portion(session, made, most_rows)
    if not made.header and portion.keys.header_ends:
        made.header = b"".join(window.lines[: portion.keys.header_ends])
    rows = {entry.line: window.rows_of(entry) for entry in portion.entries}
    made.rows += sum(map(len, rows.values()))
    await _import(session, made, portion.entries, rows)
    await _note_keys(session, made.id, portion)
    if portion.ends_before is None:
        made.next_byte = made.size
        return True
    made.next_byte += window.bytes_before(portion.ends_before)
    made.next_line = portion.ends_before
    return False


async def _next_portion(session: AsyncSession, made: CatalogImport, most_rows: int) -> tuple[Window, Portion]:
    """As much of the file as the next portion needs, and that portion."""
    width = WINDOW_BYTES
    while True:
        window = await _window(session, made, width)
        if width >= WIDEST_WINDOW_BYTES and not window.is_the_rest:
            return window, await _all_of(session, made, window)
        if portion := await _portion(session, made, window, most_rows):
            return window, portion
        width *= 2


async def _window(session: AsyncSession, made: CatalogImport, width: int) -> Window:
    first = made.next_byte // PIECE_BYTES
    skipped = made.next_byte - first * PIECE_BYTES
    pieces = await session.scalars(
        PIECES, {"import_id": made.id, "first": first, "last": (made.next_byte + width - 1) // PIECE_BYTES}
    )
    content = b"".join(pieces)[skipped : skipped + width]
    is_the_rest = made.next_byte + len(content) >= made.size
    return Window.of(content, first_line=made.next_line, is_the_rest=is_the_rest)


PIECES = text(
    """
    SELECT content FROM catalog_import_pieces
    WHERE import_id = :import_id AND number BETWEEN :first AND :last ORDER BY number
    """
)


async def _portion(session: AsyncSession, made: CatalogImport, window: Window, most_rows: int) -> Portion | None:
    """Read once more with what earlier chunks used, when they used any of its keys: a key counts in the whole file."""

    def with_keys(seen: Reading) -> Portion | None:
        file_format = FileFormat(made.format)
        return portion_of(window, file_format, made.currency, header=made.header, most_rows=most_rows, seen=seen)

    portion = with_keys(Reading())
    if portion is not None and (used := await _used_before(session, made.id, portion.keys)):
        portion = with_keys(used)
    return portion


async def _all_of(session: AsyncSession, made: CatalogImport, window: Window) -> Portion:
    whole = Window(window.first_line, window.lines, is_the_rest=True)
    portion = await _portion(session, made, whole, len(window.lines))
    assert portion is not None  # noqa: S101 - the rest of a file always is one
    portion.ends_before = portion.ends_before or window.ends_before
    return portion


async def _used_before(session: AsyncSession, import_id: UUID, keys: Reading) -> Reading | None:
    """Which of these keys stand on other lines of the file."""
    used = Reading()
    for kind, seen in (("slug", keys.slugs), ("sku", keys.skus)):
        wanted = {"import_id": import_id, "kind": kind, "keys": list(seen)}
        for row in await session.execute(USED_BEFORE, wanted):
            (used.slugs if kind == "slug" else used.skus)[row.key] = row.line
    return used if used.slugs or used.skus else None


USED_BEFORE = text(
    """
    SELECT key, line FROM catalog_import_keys
    WHERE import_id = :import_id AND kind = :kind AND key = ANY(CAST(:keys AS text[]))
    """
)


async def _note_keys(session: AsyncSession, import_id: UUID, portion: Portion) -> None:
    end = portion.ends_before
    for kind, seen in (("slug", portion.keys.slugs), ("sku", portion.keys.skus)):
        own = {key: line for key, line in seen.items() if end is None or line < end}
        noted = {"import_id": import_id, "kind": kind, "keys": list(own), "lines": list(own.values())}
        await session.execute(NOTE_KEYS, noted)


NOTE_KEYS = text(
    """
    INSERT INTO catalog_import_keys (import_id, kind, key, line)
    SELECT :import_id, :kind, key, line FROM unnest(CAST(:keys AS text[]), CAST(:lines AS int[])) AS used (key, line)
    ON CONFLICT DO NOTHING
    """
)


# --- the rows that failed -------------------------------------------------------------------------------------------


async def _read_failed_rows(session: AsyncSession, made: CatalogImport, most_rows: int) -> bool:
    """The next products of which rows failed; were those the last?"""
    found = (
        await session.execute(FAILED_PRODUCTS, {"import_id": made.id, "after": made.next_line, "most": most_rows})
    ).all()
    if not found:
        return True
    rows = {
        product_line: [Row(line=row.line, content=row.content) for row in of_product]
        for product_line, of_product in groupby(found, key=lambda row: row.product_line)
    }
    made.failed -= sum(row.has_failed for row in found)
    made.next_line = found[-1].product_line
    entries = await _entries_of(session, made, rows)
    for forget in (FORGET_ERRORS, FORGET_ROWS):
        await session.execute(forget, {"import_id": made.id, "products": list(rows)})
    await _import(session, made, entries, rows)
    return len(rows) < most_rows


FAILED_PRODUCTS = text(
    """
    SELECT product_line, line, content, has_failed FROM catalog_import_rows
    WHERE import_id = :import_id AND product_line IN (
        SELECT DISTINCT product_line FROM catalog_import_rows
        WHERE import_id = :import_id AND product_line > :after ORDER BY product_line LIMIT :most
    )
    ORDER BY product_line, line
    """
)
FORGET_ROWS = text(
    "DELETE FROM catalog_import_rows WHERE import_id = :import_id AND product_line = ANY(CAST(:products AS int[]))"
)
FORGET_ERRORS = text(
    "DELETE FROM catalog_import_errors WHERE import_id = :import_id AND product_line = ANY(CAST(:products AS int[]))"
)


async def _entries_of(session: AsyncSession, made: CatalogImport, rows: dict[int, list[Row]]) -> list[Entry]:
    """Each product is read for itself, so that a row which cannot be read takes no other with it."""

    def with_keys(used: Reading) -> tuple[list[Entry], Reading]:
        entries, keys = [], Reading(slugs=dict(used.slugs), skus=dict(used.skus))
        for product_line, of_product in rows.items():
            keys.is_given_up = False
            records = [entry.records for entry in _entries(made, of_product, keys)]
            extents = [(row.line, row.line) for row in of_product]
            entries.append(Entry(product_line, extents, list(chain.from_iterable(records))))
        return entries, keys

    entries, keys = with_keys(Reading())
    if used := await _used_before(session, made.id, keys):
        entries, _ = with_keys(used)
    return entries


def _entries(made: CatalogImport, rows: Iterable[Row], keys: Reading) -> Iterable[Entry]:
    lines = chain.from_iterable(enumerate(lines_of(row.content), start=row.line) for row in rows)
    return FileFormat(made.format).entries(chain_header(made.header, lines), keys, made.currency)


# --- both -----------------------------------------------------------------------------------------------------------


async def _import(
    session: AsyncSession, made: CatalogImport, entries: Sequence[Entry], rows: dict[int, list[Row]]
) -> None:
    records = list(chain.from_iterable(entry.records for entry in entries))
    products = [record for record in records if isinstance(record, ProductRecord)]
    imported = await import_within(session, products) if products else Imported()
    wrong = [record for record in records if isinstance(record, RowError)] + imported.errors
    for kind, tally in (("products", imported.products), ("variants", imported.variants)):
        for what in ("created", "updated", "unchanged"):
            name = f"{kind}_{what}"
            setattr(made, name, getattr(made, name) + getattr(tally, what))
    made.failed += len({error.line for error in wrong})
    await _note_failures(session, made.id, entries, rows, wrong)


async def _note_failures(
    session: AsyncSession,
    import_id: UUID,
    entries: Sequence[Entry],
    rows: dict[int, list[Row]],
    wrong: Sequence[RowError],
) -> None:
    by_line: dict[int, list[RowError]] = {}
    for error in wrong:
        by_line.setdefault(error.line, []).append(error)
    failed_rows, errors = [], []
    for entry in entries:
        lines = {row.line for row in rows[entry.line]} | {record.line for record in _errors_of(entry)}
        if not lines & by_line.keys():
            continue
        for number, row in enumerate(rows[entry.line]):
            if number == 0 or row.line in by_line:
                failed_rows.append((entry.line, row.line, row.content, row.line in by_line))
        errors += [
            (line, number, entry.line, _storable(error.column), _storable(error.reason))
            for line in sorted(lines)
            for number, error in enumerate(by_line.get(line, ()))
        ]
    await _insert(session, NOTE_ROWS, import_id, ("product_lines", "lines", "contents", "failed"), failed_rows)
    await _insert(session, NOTE_ERRORS, import_id, ("lines", "numbers", "product_lines", "fields", "messages"), errors)


def _errors_of(entry: Entry) -> Iterable[RowError]:
    return (record for record in entry.records if isinstance(record, RowError))


async def _insert(
    session: AsyncSession, statement: object, import_id: UUID, names: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    if rows:
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        await session.execute(statement, {"import_id": import_id, **columns})  # type: ignore[call-overload]


NOTE_ROWS = text(
    """
    INSERT INTO catalog_import_rows (import_id, product_line, line, content, has_failed)
    SELECT :import_id, * FROM unnest(CAST(:product_lines AS int[]), CAST(:lines AS int[]), CAST(:contents AS bytea[]),
                                     CAST(:failed AS boolean[]))
    """
)
NOTE_ERRORS = text(
    """
    INSERT INTO catalog_import_errors (import_id, line, number, product_line, field, message)
    SELECT :import_id, * FROM unnest(CAST(:lines AS int[]), CAST(:numbers AS int[]), CAST(:product_lines AS int[]),
                                     CAST(:fields AS text[]), CAST(:messages AS text[]))
    """
)


def _storable(words: str) -> str:
    """Names of columns and fields come from the file, and may hold anything."""
    return words.replace("\0", "�").encode(errors="replace").decode()
