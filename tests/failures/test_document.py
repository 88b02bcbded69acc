"""docs/failure-matrix.md says what the tests show, row by row."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| \*\*(.+?)\*\* \|", re.MULTILINE)


def rows() -> list[str]:
    return ROW.findall((ROOT / "docs" / "failure-matrix.md").read_text())


def marks() -> Iterator[tuple[str, str]]:
    """Every row that a test carries, with the test's name."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.matrix":
                        yield ast.literal_eval(mark.args[0]), f"{path.name}::{node.name}"


def test_every_row_has_a_name_of_its_own() -> None:
    assert [name for name, times in Counter(rows()).items() if times > 1] == []
    assert len(rows()) >= 50


def test_every_row_has_a_test_and_every_mark_has_its_row() -> None:
    tested = {row for row, _ in marks()}

    assert set(rows()) - tested == set(), "rows without a test"
    assert tested - set(rows()) == set(), "marks without a row"


def test_every_row_says_how_it_ends_and_who_sees_what() -> None:
    for line in (ROOT / "docs" / "failure-matrix.md").read_text().splitlines():
        if ROW.match(line):
            assert all(cell.strip() for cell in line.strip("|").split("|")), line
