"""Shells complete ``sutler``: commands, options and what an option takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUTLER = Path(sys.prefix) / "bin" / "sutler"

COMMANDS = ("up", "reset", "migrate", "api", "worker", "demo", "audit")
GROUPS = (
    *("mail", "order", "payments", "stock", "queues", "schedules", "config", "api-keys", "events", "webhooks"),
    *("history", "keys", "accounts", "catalog", "promotions"),
)
"""As `sutler --help` has them, too."""

FOLDERS = {
    "activities",
    "api",
    "cli",
    "db",
    "deploy",
    "domain",
    "providers",
    "runtime",
    "sandbox",
    "workers",
    "workflows",
}
HEAVY = {"granian", "litestar", "pydantic", "sqlalchemy", "temporalio"}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sutler ", [*COMMANDS, *GROUPS]),
        ("sutler sched", ["schedules"]),
        ("sutler order list --status ", ["pending", "confirmed", "shipped", "delivered", "cancelled"]),
    ],
)
def test_bash_is_offered_what_can_come_next(typed: str, offered: list[str]) -> None:
    words = typed.split(" ")
    asked = {"_SUTLER_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}

    told = subprocess.run([SUTLER], env={**os.environ, **asked}, capture_output=True, text=True, check=True, timeout=60)

    assert told.stdout.split() == offered


def test_who_asks_what_can_come_next_waits_for_nothing_that_a_command_needs() -> None:
    """All that is loaded before a command runs, each time that somebody presses Tab."""
    program = "import sys, cli; print(*{name.partition('.')[0] for name in sys.modules})"

    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert {*told.stdout.split()} & (FOLDERS | HEAVY) == {"cli", "domain"}
