"""Small processes that behave like parts of the shop, or misbehave: ``standin.py web|stubborn|doomed|mute …``."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class AlwaysFine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


def web(port: str) -> None:
    """Answers 200 to everything."""
    HTTPServer(("127.0.0.1", int(port)), AlwaysFine).serve_forever()


def stubborn(port: str) -> None:
    """Answers as well, and does not leave when asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    web(port)


def worker() -> None:
    """Says that it is ready and waits."""
    Path(os.environ["APP_READY_FILE"]).touch()
    signal.pause()


def doomed() -> None:
    """Gets ready and dies."""
    Path(os.environ["APP_READY_FILE"]).touch()
    print("the roof is on fire")
    sys.exit(3)


def mute() -> None:
    """Never gets ready."""
    print("thinking", flush=True)
    signal.pause()


def brood(port: str) -> None:
    """A server whose child does the work and holds the port, as web servers have them."""
    if os.fork() == 0:
        web(port)
    signal.pause()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
