"""Everything the sandbox knows, in one SQLite file that survives a ``kill -9``."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Objects keep their JSON in `body`; the other columns exist only to be searched. `seq` is the order of creation.
SCHEMA = """
CREATE TABLE IF NOT EXISTS payment_intents (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    status TEXT NOT NULL, currency TEXT NOT NULL, amount INTEGER NOT NULL, customer TEXT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS payment_intent_metadata (
    key TEXT NOT NULL, value TEXT NOT NULL, payment_intent TEXT NOT NULL,
    PRIMARY KEY (key, value, payment_intent)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS challenges (
    payment_intent TEXT PRIMARY KEY, idempotency_key TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS charges (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    payment_intent TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS charges_of_an_intent ON charges (payment_intent);
CREATE TABLE IF NOT EXISTS refunds (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    payment_intent TEXT NOT NULL, charge TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS refunds_of_an_intent ON refunds (payment_intent);
CREATE TABLE IF NOT EXISTS disputes (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    payment_intent TEXT NOT NULL, charge TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS disputes_of_a_charge ON disputes (charge);
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, type TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tax_calculations (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS trackers (
    id TEXT PRIMARY KEY, tracking_code TEXT NOT NULL, carrier TEXT NOT NULL, body BLOB NOT NULL,
    UNIQUE (tracking_code, carrier)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS carrier_events (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL,
    attempts INTEGER NOT NULL, first_at REAL NOT NULL, next_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS idempotency_keys (
    key TEXT PRIMARY KEY, endpoint TEXT NOT NULL, fingerprint BLOB NOT NULL,
    status INTEGER NOT NULL, body BLOB NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT, payment_intent TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('authorize', 'capture', 'void', 'refund', 'dispute', 'dispute_reversal')),
    amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL,
    idempotency_key TEXT, metadata BLOB NOT NULL, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS movements_of_an_intent ON ledger (payment_intent);
CREATE TRIGGER IF NOT EXISTS ledger_rows_never_change BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_rows_never_vanish BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE IF NOT EXISTS mails (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT NOT NULL, recipients BLOB NOT NULL,
    message BLOB NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mail_recipients (
    address TEXT NOT NULL, mail INTEGER NOT NULL, PRIMARY KEY (address, mail)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS faults (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL);
"""

Row = tuple[Any, ...]


class Store:
    """One connection, used by one event loop: statements are short enough to run between two awaits."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # What a process has written outlives its death; only a power cut could take it, and nothing real is in here.
        # Waiting for the disk would stop the event loop for 40 ms at each checkpoint.
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("PRAGMA wal_autocheckpoint = 4000")
        self._connection.execute("PRAGMA cache_size = -16000")
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside becomes durable at the end, or nothing does."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def write(self, sql: str, *values: object) -> int:
        """Runs one statement and returns the row id it made."""
        return self._connection.execute(sql, values).lastrowid or 0

    def one(self, sql: str, *values: object) -> Row | None:
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: object) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def forget_everything(self) -> None:
        """Starts the world anew. Even the ledger goes, which is why its tables are dropped: no row can be deleted."""
        tables = self.all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        drops = "".join(f"DROP TABLE {name};" for (name,) in tables)
        self._connection.executescript(f"BEGIN IMMEDIATE; {drops} {SCHEMA} COMMIT;")

    def close(self) -> None:
        self._connection.close()
