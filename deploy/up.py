"""``sutler up`` and ``sutler reset``: the whole platform on one machine, without Docker.

``up()`` blocks until Ctrl-C or SIGTERM and returns the exit code; ``reset()`` empties the data directory. Ports and
directory come from ``deploy.settings.UpSettings``.
"""

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Sequence

from pydantic import ValidationError
from rich.console import Console

from deploy import ports
from deploy.claim import AlreadyRunningError, claimed, end_leftovers
from deploy.display import PlainDisplay, display, next_steps, overview
from deploy.plan import the_stack
from deploy.service import Chore, Service, Stage
from deploy.settings import PREFIX, UpSettings
from deploy.supervisor import DidNotStartError, Supervisor

OK, FAILED = 0, 1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Everything that `up` or a process it starts ever makes in the data directory; `reset` removes nothing else.
MADE_BY_UP = (
    "postgres",
    "postgres.new",
    "valkey",
    "temporal.sqlite3*",
    "sandbox.sqlite3*",
    "signing-key.pem",
    "gateway",
    "environment",
    "processes.json*",
    "logs",
    "run",
)


def up(
    settings: UpSettings | None = None, *, stages: Sequence[Stage] | None = None, extra: Sequence[Service] = ()
) -> int:
    """Bring the stack up, keep it up until told to stop, and say what happens; the exit code.

    ``stages`` replaces the usual stack, ``extra`` services come up after it.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        settings = settings or UpSettings()
        _refuse_production()
        with claimed(settings.directory):
            for name in end_leftovers(settings.directory):
                console.print(f"Stopped {name}, left over from a stack that was killed.", markup=False)
            refuse_taken_ports(settings)
            wanted = [*(the_stack(settings) if stages is None else stages), *([extra] if extra else [])]
            return asyncio.run(_run(settings, wanted, console))
    except ValidationError as wrong:
        for error in wrong.errors():
            variable = PREFIX + "__".join(str(place) for place in error["loc"]).upper()
            console.print(f"{variable}={error['input']}: {error['msg']}", markup=False)
    except (AlreadyRunningError, RefusedError, OSError) as refusal:
        console.print(str(refusal), markup=False, highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        console.print("Interrupted before anything was started.")
    return FAILED


def reset(settings: UpSettings | None = None, *, yes: bool = False, ask: Callable[[str], str] = input) -> int:
    """Delete what ``up`` has made, after asking; the exit code. Refused while the stack runs."""
    settings = settings or UpSettings()
    directory = settings.directory
    if not directory.is_dir():
        print(f"Nothing to delete: {directory} does not exist.")
        return OK
    try:
        with claimed(directory):
            if not yes and ask(f"Delete all data of the stack in {directory}? [y/N] ").strip().lower() not in {
                "y",
                "yes",
            }:
                print("Nothing was deleted.")
                return FAILED
            end_leftovers(directory)
            for pattern in MADE_BY_UP:
                for path in list(directory.glob(pattern)):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    except AlreadyRunningError as refusal:
        print(refusal)
        return FAILED
    print(f"Deleted the data of the stack in {directory}.")
    return OK


class RefusedError(Exception):
    """The stack cannot come up as asked; the message says what to change."""


def refuse_taken_ports(settings: UpSettings) -> None:
    """Raise with every port that is taken, by whom, and how to choose another."""
    problems: list[str] = []
    chosen: dict[int, str] = {}
    spare = (port for port in ports.free_ports(50) if port not in {port for port, _ in settings.ports().values()})
    for variable, (port, purpose) in settings.ports().items():
        if port in chosen:
            problems.append(f"Port {port} is chosen twice: for {chosen[port]} and {purpose}.")
        elif not ports.is_free(port):
            holder = ports.holder(port) or "another process"
            problems.append(f"Port {port} for {purpose} is taken by {holder}.")
        else:
            chosen[port] = purpose
            continue
        problems.append(f"  Choose another one: {variable}={next(spare)} make up")
    if problems:
        raise RefusedError("\n".join(problems))


def _refuse_production() -> None:
    if os.environ.get("APP_ENV", "").lower() == "production":
        raise RefusedError("`up` is the development stack; unset APP_ENV=production to use it.")


async def _run(settings: UpSettings, stages: Sequence[Stage], console: Console) -> int:
    shown = display(console)
    supervisor = Supervisor(settings.directory, shown)
    told_to_stop = asyncio.Event()

    def on_signal() -> None:
        if told_to_stop.is_set():
            shown.say("Stopping at once.")
            supervisor.kill()
        told_to_stop.set()

    for number in STOP_SIGNALS:
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # nohup: the terminal may go
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    _write_environment(settings)
    _warn_of_overridden_variables(settings, shown)
    rising = asyncio.create_task(supervisor.bring_up(stages))
    stopping = asyncio.create_task(told_to_stop.wait())
    try:
        await asyncio.wait([rising, stopping], return_when=asyncio.FIRST_COMPLETED)
        if rising.done():
            rising.result()
            shown.settled()
            _show_the_way(settings, stages, supervisor, console)
            await stopping
    except DidNotStartError as problem:
        shown.settled()
        shown.say(str(problem))
        return FAILED
    finally:
        told_to_stop.set()
        shown.settled()
        shown.say("Stopping. Press Ctrl-C again to stop at once.")
        rising.cancel()
        await asyncio.gather(rising, return_exceptions=True)
        await supervisor.stop()
    shown.say("Stopped. The data is kept; `make up` finds it again.")
    return OK


def _show_the_way(settings: UpSettings, stages: Sequence[Stage], supervisor: Supervisor, console: Console) -> None:
    services = [service for stage in stages if not isinstance(stage, Chore) for service in stage]
    console.print(overview(services, supervisor.pids(), settings, supervisor.age))
    console.print("Try next, in another terminal:")
    for command in next_steps(settings):
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
    console.print("Ctrl-C stops everything.")


def _write_environment(settings: UpSettings) -> None:
    """Leave the variables where a shell can read them: ``. .sutler/environment``."""
    variables = {**settings.environment(), **settings.owner_environment()}
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    (settings.directory / "environment").write_text("".join(lines))


def _warn_of_overridden_variables(settings: UpSettings, shown: PlainDisplay) -> None:
    for name, value in settings.environment().items():
        if os.environ.get(name, value) != value:
            shown.say(f"{name} is overridden here; ports and directory of the stack are set by {PREFIX}… variables.")


def main(arguments: Sequence[str]) -> int:
    """``python -m deploy.up [reset [--yes]]``."""
    if arguments[:1] == ["reset"]:
        return reset(yes="--yes" in arguments)
    return up()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
