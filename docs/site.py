"""Makes the documentation a site: a hook of MkDocs, named in mkdocs.yml. ``make docs`` builds it into ``build/site``.

The site lies as the repository does, so that a link that works there works here, and the other way round.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from litestar.serialization import encode_json
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from api import asyncapi, documentation
from api.app import create_app
from runtime.settings import Settings

ROOT = Path(__file__).parents[1]
BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/observability/rules.yml")
"""What is part of the site and does not lie in ``docs``."""

DESCRIBED = "docs/api.md"
SHOWN = """
The documents themselves: [openapi.json](openapi.json), [asyncapi.json](asyncapi.json).

<swagger-ui src="openapi.json"/>
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Decisions are found, not named; and a page for which nobody has named a reader is found by all."""
    nav = config.nav or []
    rest = sorted(set(_found("docs")) - set(_pages_of(nav)))
    decisions = sorted(_found("docs/decisions"), key=lambda name: not name.endswith("README.md"))
    config.nav = [*nav, *([{"More": rest}] if rest else []), {"Decisions": decisions}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    ours = [file for file in files if file.src_dir == config.docs_dir]
    for file in ours:
        files.remove(file)
    for name in [*BESIDE, *(f"docs/{file.src_uri}" for file in ours)]:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for name, content in descriptions(Settings()).items():
        files.append(File.generated(config, f"docs/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Here, unlike in the repository, the documents lie beside the page that speaks of them."""
    return markdown + SHOWN if page.file.src_uri == DESCRIBED else markdown


def descriptions(settings: Settings) -> dict[str, str]:
    """For programs: what they may ask, and what they hear."""
    told: dict[str, Any] = {
        "openapi.json": documentation.document(create_app(settings)),
        "asyncapi.json": asyncapi.document(settings),
    }
    return {name: encode_json(document).decode() for name, document in told.items()}


def _found(folder: str) -> list[str]:
    return sorted(f"{folder}/{page.name}" for page in (ROOT / folder).glob("*.md"))


def _pages_of(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case list():
            for item in nav:
                yield from _pages_of(item)
        case dict():
            yield from _pages_of(list(nav.values()))
