"""How the operating system shares a processor among the threads of a process."""

import os
from contextlib import suppress


def work_in_batches() -> None:
    """Let threads of this process, and of those it starts, not interrupt whoever works when they are woken.

    The server, the loop and what is between them hand each request on: without this a processor that they share goes
    from one to the next and back for every one of them. Where this is not possible nothing changes. See sched(7).
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
