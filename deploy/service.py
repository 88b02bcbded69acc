"""What the supervisor knows of a process: how to start it, how to see that it is ready, where people find it."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


def nothing() -> None:
    """Does nothing; stands for a step that a service does not need."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A command and how it is run."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of the supervisor."""
    user: str | None = None
    """The system user it runs as, when not ours."""
    stop_signal: signal.Signals = signal.SIGTERM
    """Asks the process to finish what it does and leave."""
    stop_within: float = 20.0


@dataclass(frozen=True, kw_only=True)
class Service(Program):
    """A process that runs as long as the stack does."""

    ready: Callable[[], bool]
    """Answers quickly, and never raises, whether the process can serve now."""
    address: str = ""
    """Where people find it; shown in the table."""
    prepare: Callable[[], None] = nothing
    """Runs before every start, also before a restart."""
    settle: Callable[[], None] = nothing
    """Runs after every start, as soon as the process is ready."""
    start_within: float = 120.0
    """Generous: five Python processes that start at once on a busy laptop need half a minute."""


@dataclass(frozen=True, kw_only=True)
class Chore(Program):
    """A command that runs once while the stack comes up, and has to succeed."""

    within: float = 300.0


Stage = Sequence[Service] | Chore
"""What comes up together: services beside each other, or one chore alone. Stages stop in reverse order."""
