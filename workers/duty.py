"""What one task queue carries out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Duty:
    workflows: list[type] = field(default_factory=list)
    activities: list[Callable[..., Any]] = field(default_factory=list)
    always: dict[str, type] = field(default_factory=dict)
    """Workflows that run for ever, by their ids; whoever serves the queue makes sure that they do."""
