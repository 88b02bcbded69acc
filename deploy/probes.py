"""Questions to a port that say whether a server is ready; each answers within a second and never raises."""

import http.client
import json
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

HOST = "127.0.0.1"
PATIENCE = 1.0
PAUSE = 0.02


def awaited(ready: Callable[[], bool], within: float, give_up: Callable[[], bool] = lambda: False) -> bool:
    """Ask until the answer is yes; no when the time is over or there is nothing left to wait for."""
    deadline = time.monotonic() + within
    while not ready():
        if give_up() or time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True


def converse(port: int, words: bytes, size: int = 1) -> bytes:
    """The first bytes that the server answers; empty when there is no server."""
    try:
        with socket.create_connection((HOST, port), timeout=PATIENCE) as connection:
            connection.sendall(words)
            return connection.recv(size)
    except OSError:
        return b""


def postgres_accepts(port: int, database: str) -> bool:
    """Whether a session can be opened; a server in recovery listens already but refuses."""
    body = struct.pack("!i", 3 << 16) + b"user\0postgres\0database\0" + database.encode() + b"\0\0"
    return converse(port, struct.pack("!i", len(body) + 4) + body) == b"R"


def valkey_answers(port: int) -> bool:
    """Whether the data is loaded and commands are taken."""
    return converse(port, b"PING\r\n", 5) == b"+PONG"


def http_answers(url: str) -> bool:
    """Whether a GET is answered 200."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - our own addresses
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return False


def http_json(url: str) -> Any:
    """What a GET answers, decoded."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - our own addresses
        return json.load(answer)
