"""What people see while the stack comes up, and when it stands."""

import os
import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from deploy.service import Service
from deploy.settings import UpSettings
from workflows.names import Queue


class PlainDisplay:
    """One line per event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def starting(self, name: str) -> None:
        self.console.print(f"{name} …", markup=False, highlight=False)

    def ready(self, name: str, seconds: float) -> None:
        self.console.print(f"{name} ready after {seconds:.1f} s", markup=False, highlight=False)

    def say(self, message: str) -> None:
        self.console.print(f"{time.strftime('%H:%M:%S')} {message}", markup=False, highlight=False, soft_wrap=True)

    def settled(self) -> None:
        """Everything is up: only messages follow."""


class LiveDisplay(PlainDisplay):
    """A spinner for each part until it is ready."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        spinner = SpinnerColumn(finished_text="[green]✓")
        columns = (spinner, TextColumn("{task.description}"), TextColumn("[cyan]{task.fields[took]}"))
        self._progress = Progress(*columns, console=console)
        self._tasks: dict[str, TaskID] = {}

    def starting(self, name: str) -> None:
        self._progress.start()
        self._tasks[name] = self._progress.add_task(name, total=1, took="")

    def ready(self, name: str, seconds: float) -> None:
        self._progress.update(self._tasks[name], completed=1, took=f"{seconds:.1f} s")

    def settled(self) -> None:
        self._progress.stop()


def display(console: Console) -> PlainDisplay:
    """The display that suits the console."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


def overview(services: Iterable[Service], pids: dict[str, int], settings: UpSettings, seconds: float) -> Table:
    """What runs, where, and who may sign in."""
    table = Table(title=f"Sutler is up after {seconds:.1f} s", title_justify="left", show_lines=False)
    table.add_column("what runs", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("pid", justify="right", no_wrap=True)
    for service in services:
        table.add_row(service.name, service.address, str(pids.get(service.name, "")))
        if service.name == "temporal":
            table.add_row("temporal web ui", settings.web_ui_url, "")
        if service.name == f"{Queue.EVENTS} worker":
            table.add_row("events", f"{command('sutler')} events follow --from beginning", "")
        if service.name == "sandbox":
            table.add_row("sandbox mail", f"{settings.sandbox_url}/mail", "")
            table.add_row("sandbox smtp", f"127.0.0.1:{settings.smtp_port}", "")
    table.add_row("api documentation", f"{settings.public_url}/docs", "", end_section=True)
    password = os.environ.get("APP_DEMO__PASSWORD", "sutler-demo-1")
    table.add_row("sign in as operator", f"operator@example.com, password {password}", "")
    table.add_row("sign in as customer", f"shopper@example.com, password {password}", "")
    return table


def next_steps(settings: UpSettings) -> list[str]:
    """Three commands to try, as they can be pasted into another terminal."""
    steps = [
        f"{command('sutler')} demo",
        f"{command('temporal')} workflow list --address {settings.temporal_address}",
        f"curl -s '{settings.public_url}/v1/products?limit=3'",
    ]
    if settings.environment() != UpSettings.model_construct().environment():
        steps[0] = f"( . {shlex.quote(_short(settings.directory / 'environment'))}; {steps[0]} )"
    return steps


def command(name: str) -> str:
    """How one calls a program of our virtual environment, shorter when it is activated."""
    return name if os.environ.get("VIRTUAL_ENV") == sys.prefix else _short(Path(sys.prefix) / "bin" / name)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
