"""All controllers of the API."""

from typing import Any

HANDLERS: list[Any] = []
