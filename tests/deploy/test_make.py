"""What the Makefile and the lock files promise."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ["all", "build", "demo", "runtime"]


def make(*arguments: str, at: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    # Without the variables of a make that may be running us.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["/usr/bin/env", "make", *arguments], cwd=at, env=clean, capture_output=True, text=True, check=False
    )


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[\w.-]+==\S+", (ROOT / "requirements" / f"{lock}.lock").read_text(), re.MULTILINE))


def test_make_alone_lists_what_one_can_make() -> None:
    targets = (ROOT / "Makefile").read_text().split(".PHONY:")[1].splitlines()[0].split()
    shown = [line.split()[1] for line in make().stdout.splitlines()]
    assert sorted(shown) == sorted(targets)


def test_a_python_that_is_too_old_is_said_clearly(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    refused = make("up", "PYTHON=false", at=tmp_path)
    assert refused.returncode == 2
    assert refused.stdout == "Sutler needs Python 3.11 or newer. Name one that you have: make PYTHON=python3.12 up\n"
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_with_hashes_and_names_no_place(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) > 4
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert re.findall(r"://|^-", text, re.MULTILINE) == []


@pytest.mark.parametrize("lock", ["build", "demo", "runtime"])
def test_the_image_gets_the_versions_that_were_tested(lock: str) -> None:
    assert pins(lock) - pins("all") == set()


def test_continuous_integration_runs_what_a_laptop_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make lint docs licences vulnerabilities test"
