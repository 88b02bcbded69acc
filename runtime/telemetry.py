"""Logs: one JSON object a line on standard error."""

import logging
import sys
import traceback
from typing import Any

import structlog
from asyncpg import InterfaceError, PostgresError
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError

OF_POSTGRES = (DBAPIError, PostgresError, InterfaceError, AsyncAdapt_asyncpg_dbapi.Error)
LED_TO = "\nThis led to:\n"


def configure_logging(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(lambda exc_info: story_of(exc_info[1])),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    to_the_log = logging.StreamHandler(sys.stderr)
    to_the_log.setFormatter(Plain())
    logging.basicConfig(level=level, handlers=[to_the_log])


class Plain(logging.Formatter):
    """Of what libraries write."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")

    def formatException(self, ei: Any) -> str:  # noqa: N802 (the library's name)
        return story_of(ei[1])


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
