"""``reset`` deletes what ``up`` has made, and only after asking."""

from pathlib import Path

import pytest

from deploy.claim import claimed
from deploy.settings import UpSettings
from deploy.up import reset

MADE = ["postgres/PG_VERSION", "valkey/dump.rdb", "temporal.sqlite3", "temporal.sqlite3-wal", "sandbox.sqlite3",
        "signing-key.pem", "environment", "processes.json", "logs/api.log", "run/payments-worker.ready"]  # fmt: skip


@pytest.fixture
def used(tmp_path: Path) -> UpSettings:
    """The settings of a directory that was used, and in which somebody keeps notes."""
    for name in [*MADE, "notes.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    return UpSettings(data_dir=tmp_path)


def files(settings: UpSettings) -> set[str]:
    return {str(path.relative_to(settings.directory)) for path in settings.directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("answer", ["y", "Yes ", "y\n"])
def test_a_yes_deletes_what_up_has_made_and_nothing_else(used: UpSettings, answer: str) -> None:
    asked: list[str] = []
    assert reset(used, ask=lambda question: asked.append(question) or answer) == 0  # type: ignore[func-returns-value]
    assert asked == [f"Delete all data of the stack in {used.directory}? [y/N] "]
    assert files(used) == {"notes.txt", "lock"}
    assert [path.name for path in used.directory.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("answer", ["", "n", "no", "yep"])
def test_any_other_answer_deletes_nothing(used: UpSettings, answer: str) -> None:
    assert reset(used, ask=lambda _: answer) == 1
    assert files(used) == {*MADE, "notes.txt", "lock"}


def test_yes_can_be_said_beforehand(used: UpSettings) -> None:
    assert reset(used, yes=True, ask=lambda _: pytest.fail("asked")) == 0
    assert files(used) == {"notes.txt", "lock"}


def test_a_running_stack_is_not_reset(used: UpSettings, capsys: pytest.CaptureFixture[str]) -> None:
    with claimed(used.directory):
        assert reset(used, yes=True) == 1
    assert files(used) == {*MADE, "notes.txt", "lock"}
    assert capsys.readouterr().out.startswith(f"The stack already runs in {used.directory} ")


def test_there_may_be_nothing_to_delete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reset(UpSettings(data_dir=tmp_path / "absent")) == 0
    assert capsys.readouterr().out == f"Nothing to delete: {tmp_path / 'absent'} does not exist.\n"
