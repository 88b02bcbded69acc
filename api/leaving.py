"""How an API process leaves without anybody noticing.

Told to stop, it first says so: ``/ready`` answers 503, so that gateways send new requests elsewhere, and each answer is
the last one on its connection, so that none is closed while somebody writes on it. Everything is still answered
meanwhile. Then it stops listening, and ends when what it had begun is answered.
"""

import asyncio
import os
import signal

import structlog

log = structlog.get_logger()

LAST_ON_ITS_CONNECTION = ("connection", "close")


class Leaving:
    """Whether this process is about to leave; ``has_begun`` wakes those who answer for as long as somebody listens."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.has_begun = asyncio.Event()

    def on_sigterm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let SIGTERM begin it. SIGINT stays the server's own, which stops listening at once."""
        if self._seconds:
            loop.add_signal_handler(signal.SIGTERM, self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.has_begun.is_set():
            return
        log.info("api_leaving", seconds=self._seconds)
        self.has_begun.set()
        loop.call_later(self._seconds, os.kill, os.getpid(), signal.SIGINT)
