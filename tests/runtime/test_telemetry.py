"""What an error leaves in the log: where it happened and of what kind it is, and nobody's data."""

import io
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import structlog
from asyncpg import UniqueViolationError
from opentelemetry import trace
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api.registration import NewAccount
from db.customers import User
from runtime.resources import Resources
from runtime.telemetry import LEVEL, LOST, OfLibraries, Sink, configure_logging

PLANTED = "zanzibar"
Logged = Callable[[Exception], dict[str, Any]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    """What a process with its real configuration writes of an error."""

    def log(error: Exception) -> dict[str, Any]:
        before, written = structlog.get_config(), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", written)
            sink = configure_logging("INFO")
            structlog.get_logger().error("unhandled_error", exc_info=error)
            sink.drain()
        structlog.configure(**before)
        line: dict[str, Any] = json.loads(written.getvalue())
        return line

    return log


async def test_a_row_that_postgres_refuses_is_not_quoted(resources: Resources, logged: Logged) -> None:
    name = f"{PLANTED}.{uuid4().hex[:8]}"
    with pytest.raises(DBAPIError) as failed:
        async with resources.sessions.begin() as session:
            session.add_all([User(username=name, email=f"{n}@{PLANTED}.com", password_hash="") for n in range(2)])
    assert PLANTED in "".join(traceback.format_exception(failed.value))  # which is why

    line = logged(failed.value)

    assert "IntegrityError: Postgres failed with 23505." in line["exception"]
    assert "test_telemetry.py" in line["exception"]
    assert PLANTED not in str(line)


async def test_a_value_that_does_not_fit_its_column_is_not_quoted(resources: Resources, logged: Logged) -> None:
    with pytest.raises(DBAPIError) as failed:
        async with resources.sessions() as session:
            await session.execute(text("SELECT CAST(:number AS integer)"), {"number": PLANTED})
    assert PLANTED in str(failed.value)

    assert PLANTED not in str(logged(failed.value))


def test_a_value_that_a_shape_refuses_is_not_quoted(logged: Logged) -> None:
    with pytest.raises(ValidationError) as failed:
        NewAccount.model_validate({"username": [PLANTED], "email": PLANTED, "password": "a good one 4711"})
    assert PLANTED in str(failed.value)

    line = logged(failed.value)

    assert "ValidationError: string_type at ('username',), value_error at ('email',)" in line["exception"]
    assert PLANTED not in str(line)


def test_an_error_tells_what_led_to_it_and_all_that_happened_beside_it(logged: Logged) -> None:
    def fails() -> None:
        try:
            raise LookupError("nothing there")
        except LookupError as first:
            raise ExceptionGroup("both", [ValueError("one"), KeyError("two")]) from first

    with pytest.raises(ExceptionGroup) as failed:
        fails()

    told = [part.splitlines()[-1] for part in logged(failed.value)["exception"].split("This led to:\n")]
    assert told == [
        "LookupError: nothing there",
        "ValueError: one",
        "KeyError: 'two'",
        "ExceptionGroup: both (2 sub-exceptions)",
    ]


def test_the_libraries_that_write_their_own_lines_quote_no_rows_either() -> None:
    error = UniqueViolationError(f"Key (email)=({PLANTED}@example.com) already exists.")
    record = logging.LogRecord("temporalio", logging.WARNING, "", 1, "It failed", (), (type(error), error, None))

    line = json.loads(OfLibraries().format(record))
    assert (line["level"], line["logger"], line["event"]) == ("warning", "temporalio", "It failed")
    assert line["exception"] == "UniqueViolationError: Postgres failed with 23505."
    assert line["timestamp"].endswith("Z")


class Stalled(io.StringIO):
    """A pipe that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = threading.Event()

    def write(self, text: str) -> int:
        self.is_read.wait()
        return super().write(text)


def test_nobody_waits_while_nobody_reads_the_log_and_what_is_lost_is_counted() -> None:
    pipe, before = Stalled(), LOST._value.get()
    sink = Sink(pipe, most=3)
    for n in range(10):
        sink.write(f"{n}\n")
    lost = LOST._value.get() - before
    assert lost >= 6  # one may be in the hands of the thread that writes

    pipe.is_read.set()
    sink.drain()
    assert len(pipe.getvalue().splitlines()) == 10 - lost
    assert pipe.getvalue().startswith("0\n1\n2\n")


def test_a_pipe_that_is_gone_stops_nobody() -> None:
    pipe, before = io.StringIO(), LOST._value.get()
    pipe.close()
    sink = Sink(pipe)
    sink.write("lost\n")
    sink.drain()
    assert LOST._value.get() == before + 1


def test_the_level_changes_while_the_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    before, written = structlog.get_config(), io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", written)
        patch.setattr(logging.getLogger(), "handlers", [])
        patch.setattr(logging.getLogger(), "level", logging.WARNING)
        sink = configure_logging("WARNING")
        log, of_a_library = structlog.get_logger(), logging.getLogger("a.library")
        for level in ("WARNING", "DEBUG", "ERROR"):
            LEVEL.hold_to(level)
            log.debug("ours", at=level)
            log.warning("ours", at=level)
            of_a_library.debug("%s", level)
        sink.drain()
    structlog.configure(**before)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["event"], line["level"], line.get("at")) for line in lines] == [
        ("ours", "warning", "WARNING"),
        ("ours", "debug", "DEBUG"),
        ("ours", "warning", "DEBUG"),
        ("DEBUG", "debug", None),
    ]


def test_a_line_names_the_span_in_which_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    before, written = structlog.get_config(), io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", written)
        sink = configure_logging("INFO")
        inside = trace.NonRecordingSpan(trace.SpanContext(0xA1, 0xB2, is_remote=False))
        with trace.use_span(inside):
            structlog.get_logger().info("inside")
        structlog.get_logger().info("outside")
        sink.drain()
    structlog.configure(**before)
    first, second = map(json.loads, written.getvalue().splitlines())
    assert (first["trace_id"], first["span_id"]) == (f"{0xA1:032x}", f"{0xB2:016x}")
    assert "trace_id" not in second
