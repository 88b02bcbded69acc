"""Logs: a JSON object a line on standard error, written by a thread of its own. Fields: ``docs/telemetry.md``."""

import atexit
import json
import logging
import queue
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from asyncpg import InterfaceError, PostgresError
from opentelemetry import trace
from prometheus_client import Counter
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError
from structlog.typing import EventDict

OF_POSTGRES = (DBAPIError, PostgresError, InterfaceError, AsyncAdapt_asyncpg_dbapi.Error)
LED_TO = "\nThis led to:\n"

LOST = Counter("sutler_log_lines_lost_total", "Lines that nobody took in time")
MOST_LINES = 10_000
LONGEST_FAREWELL_SECONDS = 2.0


class Sink:
    """Takes a line at once and has a thread write it; while nobody reads what is written, lines are lost and counted.

    A full pipe would stop the whole process otherwise, with all that it answers and carries out.
    """

    def __init__(self, file: TextIO, *, most: int = MOST_LINES) -> None:
        self._file = file
        self._lines: queue.Queue[str] = queue.Queue(most)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def write(self, line: str) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            LOST.inc()

    def flush(self) -> None:
        """Nobody waits for a line."""

    def drain(self, *, within: float = LONGEST_FAREWELL_SECONDS) -> None:
        """Wait until what was taken is written, but not for ever: call it before the process ends."""
        deadline = time.monotonic() + within
        while self._lines.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.005)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                self._file.write(line)
                if self._lines.empty():
                    self._file.flush()
            except (OSError, ValueError):  # nobody is there any more to read it
                LOST.inc()
            finally:
                self._lines.task_done()


class Level:
    """Which lines are written; it may change at any time."""

    def __init__(self) -> None:
        self._at_least = logging.INFO

    def hold_to(self, name: str) -> None:
        self._at_least = logging.getLevelNamesMapping()[name]
        logging.getLogger().setLevel(self._at_least)

    @property
    def name(self) -> str:
        return logging.getLevelName(self._at_least)

    def __call__(self, _: Any, method: str, line: EventDict) -> EventDict:
        if LEVELS.get(method, logging.INFO) < self._at_least:
            raise structlog.DropEvent
        return line


LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
}

LEVEL = Level()
"""Of this process."""


def configure_logging(level: str) -> Sink:
    sink = Sink(sys.stderr)
    atexit.register(sink.drain)
    structlog.configure(
        processors=[
            LEVEL,
            structlog.contextvars.merge_contextvars,
            in_its_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(lambda exc_info: story_of(exc_info[1])),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.WriteLoggerFactory(file=sink),  # type: ignore[arg-type]  # it has all that is asked for
        cache_logger_on_first_use=True,
    )
    to_the_log = logging.StreamHandler(sink)
    to_the_log.setFormatter(OfLibraries())
    logging.basicConfig(handlers=[to_the_log])
    LEVEL.hold_to(level)
    return sink


def in_its_trace(_: Any, __: str, line: EventDict) -> EventDict:
    """Where requests are traced, all that is done for one of them is found by its trace, in whichever process."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        line["trace_id"], line["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
    return line


class OfLibraries(logging.Formatter):
    """What libraries write, in the same form."""

    def format(self, record: logging.LogRecord) -> str:
        line: EventDict = {"event": record.getMessage(), "logger": record.name, "level": record.levelname.lower()}
        in_its_trace(None, "", line)
        line["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = story_of(record.exc_info[1])
        return json.dumps(line, default=repr)


def story_of(error: BaseException) -> str:
    """How it came to an error, from the beginning, and nothing of what is in the rows and requests that it is about."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    told = "".join(traceback.format_tb(error.__traceback__)) + f"{type(error).__qualname__}: {words_of(error)}"
    return LED_TO.join([*([story_of(before)] if before else []), *map(story_of, parts), told])


def words_of(error: BaseException) -> str:
    """Postgres quotes the row that it refuses, and pydantic the value: of these, only the kind is told."""
    if isinstance(error, OF_POSTGRES):
        told = getattr(error, "orig", None) or error
        return f"Postgres failed with {getattr(told, 'sqlstate', None)}."
    if isinstance(error, ValidationError):
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        return ", ".join(f"{item['type']} at {item['loc']}" for item in wrong)
    return str(error)
