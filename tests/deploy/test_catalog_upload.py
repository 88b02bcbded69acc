"""``sutler catalog upload``, ``follow`` and ``export --to``, as people call them."""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from runtime.catalog_export import export_file
from runtime.resources import Resources
from tests.support.files import EXPORTS, HEADER, IMPORTS, Importer, a_mark, a_waiting_export, csv_of
from tests.support.terminal import begun, told_by


@pytest.fixture
def theirs(environment: dict[str, str], operator: dict[str, str]) -> dict[str, str]:
    """What an operator has set on a terminal."""
    token = operator["Authorization"].removeprefix("Bearer ")
    return {"PATH": "", "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **environment, "SUTLER_TOKEN": token}


async def sutler(*argv: str, environment: Mapping[str, str]) -> tuple[int, str]:
    return await told_by(begun("catalog", *argv, environment=environment))


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_an_upload_tells_what_became_of_the_file_and_has_the_failed_rows_to_mend(
    api: httpx.AsyncClient, theirs: dict[str, str], tmp_path: Path
) -> None:
    mark, mend = a_mark(), tmp_path / "mend.csv"
    (tmp_path / "mugs.csv").write_text(csv_of(mark, 30) + f"{mark}-bad,Bad,,5.555,\n")

    code, told = await sutler("upload", str(tmp_path / "mugs.csv"), "--failed-rows", str(mend), environment=theirs)

    assert code == 1, told
    assert "is completed: 31 rows read, 1 failed" in told
    assert "products │      30 │       0 │         0" in told
    assert "32 │ Variant Price │ USD amounts have exactly 2 decimal places" in told
    assert mend.read_text() == HEADER + f"{mark}-bad,Bad,,5.555,\n"

    mend.write_text(HEADER + f"{mark}-bad,Good,,5.55,\n")
    code, told = await sutler("upload", str(mend), environment=theirs)
    assert (code, "1 rows read, 0 failed" in told) == (0, True), told


async def test_ctrl_c_leaves_the_import_running_and_says_how_to_look_at_it_again(
    api: httpx.AsyncClient, operator: dict[str, str], theirs: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "mugs.csv"
    file.write_text(csv_of(a_mark(), 12_000))
    desk = Importer(api, operator)

    program = begun("catalog", "upload", str(file), environment=theirs)
    assert program.stdout is not None
    _, import_id, *_ = (await asyncio.to_thread(program.stdout.readline)).split()
    program.send_signal(signal.SIGINT)
    code, told = await told_by(program)

    assert code == 130, told
    assert told.strip() == f"The import goes on. Look at it again: sutler catalog follow {import_id}"
    assert (await desk.ended(import_id))["rows"] == 12_000
    code, told = await sutler("follow", import_id, environment=theirs)
    assert (code, f"Import {import_id} is completed: 12,000 rows read, 0 failed" in told) == (0, True), told


async def test_ctrl_c_leaves_an_export_running_whose_file_can_be_had_later(
    api: httpx.AsyncClient, resources: Resources, theirs: dict[str, str], tmp_path: Path
) -> None:
    file, exact = tmp_path / "all.jsonl", tmp_path / "exact.jsonl"
    async with resources.sessions() as standing_in_the_way:
        await standing_in_the_way.execute(NOBODY_WRITES)
        program = begun("catalog", "export", "--to", str(file), environment=theirs)
        assert program.stdout is not None
        _, export_id, *_ = (await asyncio.to_thread(program.stdout.readline)).split()
        program.send_signal(signal.SIGINT)
        code, told = await told_by(program)
    assert code == 130, told
    assert told.strip() == f"The export goes on. Have its file: sutler catalog export --to {file} --id {export_id}"

    code, told = await sutler("export", "--to", str(file), "--id", export_id, environment=theirs)

    written, left_out = await export_file(resources.settings, exact, "USD")
    assert code == (1 if left_out else 0), told
    assert told.splitlines()[0] == f"{written:,} products written to {file}"
    assert told.count("left out: ") == len(left_out)
    assert file.read_bytes() == exact.read_bytes()
    assert files_in(tmp_path) == ["all.jsonl", "exact.jsonl"]


NOBODY_WRITES = text("LOCK TABLE catalog_export_pieces IN EXCLUSIVE MODE")


async def test_an_export_that_somebody_cancels_leaves_no_file(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources, theirs: dict[str, str], tmp_path: Path
) -> None:
    export_id = await a_waiting_export(resources.sessions)
    await api.post(f"{EXPORTS}/{export_id}/cancel", headers=operator)

    code, told = await sutler("export", "--to", str(tmp_path / "a.csv"), "--id", str(export_id), environment=theirs)

    assert (code, told.strip()) == (1, f"Export {export_id} is cancelled.")
    assert files_in(tmp_path) == []


async def test_what_the_shop_refuses_is_said(api: httpx.AsyncClient, theirs: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mugs.csv").write_text(csv_of(a_mark(), 1))

    code, told = await sutler("upload", str(tmp_path / "mugs.csv"), "--currency", "XXQ", environment=theirs)

    assert code == 1
    assert f"422 validation_failed from POST {IMPORTS}" in told
