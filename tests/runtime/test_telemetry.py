"""What an error leaves in the log: where it happened and of what kind it is, and nobody's data."""

import io
import json
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import structlog
from asyncpg import UniqueViolationError
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api.registration import NewAccount
from db.customers import User
from runtime.resources import Resources
from runtime.telemetry import Plain, configure_logging

PLANTED = "zanzibar"
Logged = Callable[[Exception], dict[str, Any]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    """What a process with its real configuration writes of an error."""

    def log(error: Exception) -> dict[str, Any]:
        before, written = structlog.get_config(), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", written)
            configure_logging("INFO")
            structlog.get_logger().error("unhandled_error", exc_info=error)
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

    assert Plain().format(record) == "WARNING temporalio It failed\nUniqueViolationError: Postgres failed with 23505."
