"""How often Postgres is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

_counted: ContextVar[list[str] | None] = ContextVar("counted", default=None)


@contextmanager
def counted_statements(engine: AsyncEngine) -> Iterator[list[str]]:
    """What this task and those that it starts send inside the block; the workers beside them are not counted."""
    statements: list[str] = []
    before = _counted.set(statements)

    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        if _counted.get() is statements:
            statements.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", count)
    try:
        yield statements
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", count)
        _counted.reset(before)
