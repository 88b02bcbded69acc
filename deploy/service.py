"""What the supervisor knows of a process: how to start it, how to see that it is ready, where people find it."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


def nothing() -> None:
    """Does nothing; stands for a step that a service does not need."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One long-running process of the stack."""

    name: str
    argv: Sequence[str]
    ready: Callable[[], bool]
    """Answers quickly, and never raises, whether the process can serve now."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of the supervisor."""
    address: str = ""
    """Where people find it; shown in the table."""
    user: str | None = None
    """The system user it runs as, when not ours."""
    prepare: Callable[[], None] = nothing
    """Runs before every start, also before a restart."""
    settle: Callable[[], None] = nothing
    """Runs after every start, as soon as the process is ready."""
    stop_signal: signal.Signals = signal.SIGTERM
    """Asks the process to finish what it does and leave."""
    start_within: float = 60.0
    stop_within: float = 20.0
