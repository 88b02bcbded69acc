"""What runs a shop: all of it on one machine, or each of its processes, and the schema that they need."""

import os
from math import ceil
from typing import Annotated

import typer

from cli.options import Yes

CONNECTIONS = 1024
"""So many an API process has, beside those that stay open to follow an order."""

SECONDS_TO_FINISH = 30
"""How long the API finishes what it has begun to answer, once it has stopped listening."""

app = typer.Typer()


@app.command()
def up(
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Put Nginx and Envoy in front of two API processes.")
    ] = False,
) -> int:
    """Run the whole platform on this machine, with real servers and a real catalogue; Ctrl-C stops it."""
    from deploy.up import up as bring_up

    if gateway:
        os.environ["APP_UP__GATEWAY"] = "true"
    return bring_up()


@app.command()
def reset(yes: Yes = False) -> int:
    """Delete the data that `sutler up` has made, after asking."""
    from deploy.up import reset as delete

    return delete(yes=yes)


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from runtime.databases import migrated
    from runtime.settings import Settings

    migrated(Settings().database)


@app.command()
def api() -> None:
    """Serve the HTTP API."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings

    from runtime.scheduling import work_in_batches
    from runtime.settings import Settings

    settings = Settings()
    listen = settings.api
    work_in_batches()
    Granian(
        "api.app:application",
        factory=True,
        address=listen.host,
        port=listen.port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=listen.headers_seconds * 1000, max_buffer_size=listen.headers_max_bytes
        ),
        websockets=False,
        # Of connections; one that follows an order must take none of the others' places.
        backpressure=CONNECTIONS + settings.at_once.streams,
        log_access=False,
        workers_kill_timeout=ceil(settings.leave_seconds) + SECONDS_TO_FINISH,
    ).serve()


@app.command()
def worker(
    queues: list[str],
    processes: Annotated[int, typer.Option(min=1, help="How many processes; each uses one core.")] = 1,
) -> int:
    """Serve task queues: one or several of their names, or all. Each process serves all of them."""
    from runtime.settings import Settings
    from workers import crew, main
    from workflows.names import Queue

    named = list(Queue) if queues == ["all"] else [Queue(name) for name in queues]
    if processes > 1:
        return crew.run(Settings(), named, processes)
    main.run(Settings(), named)
    return 0
