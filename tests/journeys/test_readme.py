"""The README tells the truth: what it tells people to paste works, and what it links to exists."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded.temporal import cli as temporal_cli
from runtime.accounts import make_demo_accounts
from runtime.resources import Resources
from runtime.settings import Settings
from tests.support.catalog import a_product

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

STRICT = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'
"""What a person would notice stops the script: a refusal of the shop, or a field that is not in its answer."""


def the_walk(*, shop: str, temporal: str) -> str:
    """All that the section about curl tells to paste, for a shop that runs elsewhere."""
    section = README.split("## Buy something with curl")[1].split("\n## ")[0]
    pasted = "\n".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))
    assert "http://127.0.0.1:8080" in pasted
    assert ".venv/bin/temporal " in pasted
    return STRICT + pasted.replace("http://127.0.0.1:8080", shop).replace(".venv/bin/temporal ", f"{temporal} ")


async def test_the_checkout_with_curl_works_as_it_is_written(
    api_url: str, workers: None, resources: Resources, settings: Settings
) -> None:
    await make_demo_accounts(settings)
    await a_product(resources.sessions, name="Coffee for readers", stock=50)

    walk = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        the_walk(shop=api_url, temporal=temporal_cli()),
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TEMPORAL_ADDRESS": settings.temporal.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    told, complaints = (output.decode() for output in await walk.communicate())

    assert walk.returncode == 0, told + complaints
    assert "\nconfirmed\n" in told
    assert "waits for an operator to pack 2 of 2 units" in told
    assert told.splitlines()[-4:] == ["shipped", "captured", "delivered", "delivered"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_every_folder_of_the_map_exists() -> None:
    folders = re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE)
    assert folders
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []
