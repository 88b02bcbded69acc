"""The sandbox's idea of now."""

import time
from datetime import UTC, datetime


def now() -> float:
    return time.time()


def timestamp() -> str:
    """Now, as our own rows tell it: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
