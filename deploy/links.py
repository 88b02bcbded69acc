"""Links of Markdown files that lead nowhere: python -m deploy.links

A link is good when its file is there and, where it names one, its heading. Other sites are not asked.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
MARKDOWN = MarkdownIt("commonmark").enable("table")


def broken(root: Path) -> Iterator[str]:
    """Each as file, line, link and what is wrong with it."""
    for page in pages(root):
        for line, link in links(page):
            if wrong := what_is_wrong(page, link, root):
                yield f"{page.relative_to(root)}:{line}: {link}: {wrong}"


def pages(root: Path) -> list[Path]:
    """All but what is hidden, and what was built."""
    found = sorted(root.rglob("*.md"))
    return [page for page in found if not re.match(r"build/|\.|.*/\.", page.relative_to(root).as_posix())]


def links(page: Path) -> Iterator[tuple[int, str]]:
    for block in _parsed(page):
        for token in block.children or []:
            if link := token.attrGet("href") or token.attrGet("src"):
                yield (block.map or [0])[0] + 1, str(link)


def what_is_wrong(page: Path, link: str, root: Path) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_relative_to(root) or not target.exists():
        return "there is no such file"
    if target.is_dir():
        return "a folder; a page is needed"
    if parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target):
        return "the page has no such heading"
    return None


@cache
def anchors(page: Path) -> frozenset[str]:
    """Of a page's headings, as they are made where repositories are shown; the second of a name ends in -1."""
    parsed, seen, made = _parsed(page), Counter[str](), set()
    for opening, text in pairwise(parsed):
        if opening.type == "heading_open":
            slug = re.sub(r"[^\w\- ]", "", _text(text).lower()).replace(" ", "-")
            made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return frozenset(made)


def _text(heading: Token) -> str:
    return "".join(token.content for token in heading.children or [])


@cache
def _parsed(page: Path) -> list[Token]:
    return MARKDOWN.parse(page.read_text())


if __name__ == "__main__":
    found = list(broken(ROOT))
    print(*found, sep="\n", end="\n" * bool(found))
    sys.exit(bool(found))
