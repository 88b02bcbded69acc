"""Shells complete ``sutler``: commands, options and what an option takes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUTLER = Path(sys.prefix) / "bin" / "sutler"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sutler sched", ["schedules"]),
        ("sutler order list --status ", ["pending", "confirmed", "shipped", "delivered", "cancelled"]),
    ],
)
def test_bash_is_offered_what_can_come_next(typed: str, offered: list[str]) -> None:
    words = typed.split(" ")
    asked = {"_SUTLER_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}

    told = subprocess.run([SUTLER], env={**os.environ, **asked}, capture_output=True, text=True, check=True, timeout=60)

    assert told.stdout.split() == offered
