"""What one task queue carries out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio.client import ScheduleSpec


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """A story that is told by the clock."""

    id: str
    story: type
    request: Any
    when: ScheduleSpec
    catch_up: timedelta
    """How late it may still begin when nobody was there in time."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Duty:
    workflows: list[type] = field(default_factory=list)
    activities: list[Callable[..., Any]] = field(default_factory=list)
    is_pinned: bool = False
    """Its stories are short and end on the build that began them; all others move on to the current build, which must
    be able to replay what older ones have told."""
    at_once: int | None = None
    """How many of its activities a worker carries out at a time; ``None``: as the settings say for all queues."""
    always: dict[str, type] = field(default_factory=dict)
    """Workflows that run for ever, by their ids; whoever serves the queue makes sure that they do."""
    scheduled: list[Scheduled] = field(default_factory=list)
