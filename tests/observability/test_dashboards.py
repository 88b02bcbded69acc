"""The dashboards as files; that their queries find something is shown beside a shop that runs."""

import json

import pytest

from deploy.observability.dashboards import DASHBOARDS, FOLDER, written


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_dashboard_is_as_its_table_says(name: str) -> None:
    """``python -m deploy.observability.dashboards`` writes them anew."""
    assert (FOLDER / f"{name.lower()}.json").read_text() == written(name)


def test_there_are_no_others_and_each_has_a_name_of_its_own() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == {name.lower() for name in DASHBOARDS}
    uids = [json.loads(file.read_text())["uid"] for file in FOLDER.glob("*.json")]
    assert len(set(uids)) == len(uids)
