"""A bare ASGI application that answers the bytes of a file, on the shop's server: ``python -m benchmarks.bare``.

With ``BENCH_HEADERS``, a JSON object, it answers these headers too. Without bytes it answers 304.
"""

import json
import os
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import Interfaces, Loops

BODY = Path(os.environ.get("BENCH_BODY", os.devnull)).read_bytes()
TOLD = {"content-type": "application/json"} | json.loads(os.environ.get("BENCH_HEADERS", "{}"))
HEADERS = [(name.encode(), value.encode()) for name, value in TOLD.items()]


async def app(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    if scope["type"] == "http" and not BODY:  # who asks has everything already
        await send({"type": "http.response.start", "status": 304, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b""})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    Granian(
        "benchmarks.bare:app",
        address="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        log_access=False,
    ).serve()
