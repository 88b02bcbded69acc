"""``sutler`` in a process of its own, as people call it on a terminal."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping


def begun(*argv: str, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    program = [sys.executable, "-m", "cli", *argv]
    return subprocess.Popen(program, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


async def told_by(program: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit code, and what it has written that nobody has read yet."""
    told, _ = await asyncio.to_thread(program.communicate, timeout=60)
    return program.returncode, told
