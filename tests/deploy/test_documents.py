"""Pages that point to files point to files that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = r"`((?:api|db|deploy|docs|domain|runtime|tests|workflows)/[\w/.-]+\.\w+)`"


@pytest.mark.parametrize("page", ["docs/asvs.md", "docs/security.md", "docs/architecture.md"])
def test_a_page_names_only_files_that_exist(page: str) -> None:
    named = re.findall(
        r"`((?:api|db|deploy|docs|domain|runtime|tests|workflows)/[\w/.-]+\.\w+)`", (ROOT / page).read_text()
    )

    assert {name for name in named if not (ROOT / name).exists()} == set()
