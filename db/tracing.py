"""What statements cost, as spans of the trace that asks them, and that trace itself for whoever hears of it later.

Own spans rather than the ready-made ones: those put whole statements into spans, and take a lock and some twenty
attributes for each.
"""

import re
from functools import lru_cache
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

CHANGE = re.compile(r"\b(INSERT INTO|(?<!FOR )(?<!DO )UPDATE|DELETE FROM)\s+(?:ONLY\s+)?\"?(\w+)", re.IGNORECASE)
READ = re.compile(r"\bFROM\s+(?:ONLY\s+)?\"?(\w+)", re.IGNORECASE)
SPAN = "_sutler_span"


@lru_cache(maxsize=4096)
def what_it_does(statement: str) -> tuple[str, str | None]:
    """The verb and the table of what it changes first, or else of what it reads first."""
    if change := CHANGE.search(statement):
        return change[1].split()[0].upper(), change[2]
    read = READ.search(statement)
    verb = statement.split(maxsplit=1)[0].upper() if statement.strip() else "QUERY"
    return ("SELECT" if verb == "WITH" else verb), (read[1] if read else None)


def trace_statements(engine: Engine) -> None:
    tracer = trace.get_tracer("sutler.db")

    def begin(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: bool) -> None:  # noqa: FBT001
        if not trace.get_current_span().is_recording():
            return
        verb, table = what_it_does(statement)
        attributes = {"db.system.name": "postgresql", "db.operation.name": verb}
        if table is not None:
            attributes["db.collection.name"] = table
        name = f"{verb} {table}" if table else verb
        setattr(context, SPAN, tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes))

    def end(_: Any, __: Any, ___: str, ____: Any, context: Any, _____: bool) -> None:  # noqa: FBT001
        if (span := getattr(context, SPAN, None)) is not None:
            span.end()

    def fail(failed: ExceptionContext) -> None:
        if (span := getattr(failed.execution_context, SPAN, None)) is not None:
            state = getattr(failed.original_exception, "sqlstate", None)
            span.set_attribute("error.type", state or type(failed.original_exception).__name__)
            span.set_status(Status(StatusCode.ERROR))
            span.end()

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)


def traceparent() -> str | None:
    """The span that we are in, as W3C writes it; ``None`` outside of all."""
    span = trace.get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else None
