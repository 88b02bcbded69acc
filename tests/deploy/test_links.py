"""A link that leads nowhere is found, and no other."""

from pathlib import Path

import pytest

from deploy.links import ROOT, anchors, broken

HEADINGS = "# A page\n\n## What `it` costs, in €!\n\n## Twice\n\n## Twice\n\n```\n## no heading\n```\n"


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("[a](other.md)", None),
        ("[a](../here/other.md#what-it-costs-in-)", None),
        ("[a](#here)", None),
        ("[a](other.md#twice-1)", None),
        ("![a](a%20picture.png)", None),
        ("`[a](nowhere.md)`", None),
        ("[a](https://example.com/nowhere#at-all)", None),
        ("[a](nowhere.md)", "nowhere.md: there is no such file"),
        ("[a](other.md#once)", "other.md#once: the page has no such heading"),
        ("[a](other.md#no-heading)", "other.md#no-heading: the page has no such heading"),
        ("[a](#gone)", "#gone: the page has no such heading"),
        ("![a](gone.png)", "gone.png: there is no such file"),
        ("[a](../here)", "../here: a folder; a page is needed"),
        ("[a](../../outside.md)", "../../outside.md: there is no such file"),
        ("| a |\n| --- |\n| [a](gone.md) |", "gone.md: there is no such file"),
    ],
)
def test_a_link_is_good_when_its_file_and_its_heading_are_there(tmp_path: Path, link: str, wrong: str | None) -> None:
    root, folder = tmp_path / "root", tmp_path / "root" / "here"
    (folder / ".hidden").mkdir(parents=True)
    (tmp_path / "outside.md").write_text("# Outside\n")
    (folder / ".hidden" / "page.md").write_text("[not read](nowhere.md)")
    (folder / "other.md").write_text(HEADINGS)
    (folder / "a picture.png").touch()
    (folder / "page.md").write_text(f"# Here\n\n{link}\n")

    found = list(broken(root))

    assert [line.split(": ", 1)[1] for line in found] == ([wrong] if wrong else [])
    assert all(line.startswith("here/page.md:") for line in found)


def test_a_heading_is_named_as_where_repositories_are_shown(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(HEADINGS)
    assert anchors(tmp_path / "page.md") == {"a-page", "what-it-costs-in-", "twice", "twice-1"}


def test_no_page_of_ours_leads_nowhere() -> None:
    assert list(broken(ROOT)) == []
