"""Codes of an authenticator app, and what is kept for the day on which the phone is lost."""

import re
from datetime import datetime

SECONDS_OF_A_STEP = 30
STEPS_OFF = 1
"""A clock may be so many steps wrong, and a person so slow."""

RECOVERY_CODES = 10
CODE = re.compile(r"\d{6}")


def steps_around(now: datetime) -> range:
    """Time steps whose codes are taken now."""
    step = int(now.timestamp()) // SECONDS_OF_A_STEP
    return range(step - STEPS_OFF, step + STEPS_OFF + 1)


def without_blanks(code: str) -> str:
    """As it was meant: apps and people group digits and letters."""
    return re.sub(r"[\s-]", "", code).upper()
