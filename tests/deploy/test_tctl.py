"""Every command on docs/tctl.md is one that there is, with the options that it takes."""

import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "tctl.md").read_text()
PROGRAM = Path(sys.prefix) / "bin" / "temporal"


def commands(program: str) -> list[str]:
    return sorted(set(re.findall(rf"`({program} [^`]+)`", PAGE)))


KNOWN = (
    *(f"workflow {name}" for name in ("describe", "show", "list", "count", "query", "signal", "cancel", "terminate")),
    *("workflow reset", "workflow reset-batch", "workflow stack", "workflow observe"),
    *("taskqueue describe", "batch start", "batch describe", "schedule list", "schedule trigger"),
)


@pytest.mark.parametrize("command", KNOWN)
def test_the_page_has_what_operators_knew(command: str) -> None:
    assert f"`tctl {command}" in PAGE


@pytest.mark.parametrize("command", commands("temporal"))
def test_temporal_knows_the_command_and_its_options(command: str) -> None:
    """Options are read before help is given, and the help of a command that there is not is its parent's."""
    words = shlex.split(command)[1:]
    path = list(takewhile(lambda word: not word.startswith("-"), words))

    helped = subprocess.run([PROGRAM, *words, "--help"], capture_output=True, text=True, check=False, timeout=60)

    assert helped.returncode == 0, helped.stderr
    assert f"temporal {' '.join(path)} [flags]" in helped.stdout, helped.stdout


@pytest.mark.parametrize("command", commands("sutler"))
def test_sutler_knows_the_command_and_its_options(command: str) -> None:
    context = typer.Context(get_command(app))
    words = shlex.split(command)[1:]
    while True:
        found = context.command
        if not hasattr(found, "get_command"):
            break
        name, *words = words
        inner = found.get_command(context, name)
        assert inner is not None, f"there is no {name}"
        context = typer.Context(inner, parent=context, info_name=name)

    context.command.parse_args(context, words)  # raises what the terminal would be told
