"""``up`` with the real servers and stand-ins for the rest; ``standin_stack.py [stubborn|failing|endless|hollow]``."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from deploy import probes
from deploy.plan import READY_FILE, servers, the_stack
from deploy.service import Chore, Service, Stage
from deploy.settings import UpSettings
from deploy.up import up

STANDIN = [sys.executable, str(Path(__file__).with_name("standin.py"))]
CHORES: dict[str, list[str]] = {"failing": ["sh", "-c", "echo no such table; exit 7"], "endless": ["sleep", "600"]}


def web(name: str, port: int, manner: str = "web") -> Service:
    """A stand-in that serves the port."""
    url = f"http://127.0.0.1:{port}/"
    return Service(name=name, argv=[*STANDIN, manner, str(port)], address=url, ready=partial(probes.http_answers, url))


def worker(settings: UpSettings) -> Service:
    """A stand-in that is started and awaited like the real payments worker."""
    last_stage = the_stack(settings)[-1]
    assert not isinstance(last_stage, Chore)
    real = next(service for service in last_stage if service.name == "payments worker")
    return replace(real, argv=[*STANDIN, "worker"], env={READY_FILE: real.env[READY_FILE]})


def stages(settings: UpSettings, wish: str) -> list[Stage]:
    """The stack that the test wishes for."""
    if wish == "hollow":
        return [[web("api", settings.api_port)]]
    if wish == "stubborn":
        return [[web("api", settings.api_port, "stubborn")]]
    return [
        servers(settings),
        Chore(name="migrations", argv=CHORES.get(wish, ["true"])),
        [web("sandbox", settings.sandbox_port)],
        [web("api", settings.api_port, "brood"), worker(settings)],
    ]


if __name__ == "__main__":
    settings = UpSettings()
    sys.exit(up(settings, stages=stages(settings, sys.argv[1] if len(sys.argv) > 1 else "")))
