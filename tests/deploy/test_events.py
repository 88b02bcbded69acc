"""Whoever follows the events says from where."""

import pytest

from deploy.events import Heard, follow
from runtime.settings import Settings


def test_a_point_that_the_stream_does_not_know_is_refused(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert follow("yesterday") == 2
    assert "'yesterday' is neither `beginning`, nor `now`" in capsys.readouterr().err


def test_where_events_are_carried_nowhere_there_is_nothing_to_follow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APP_EVENTS__DESTINATION", "none")

    assert follow("beginning") == 2
    assert "read from the API alone" in capsys.readouterr().err


def test_what_was_heard_is_no_news_and_what_was_heard_long_ago_is_forgotten() -> None:
    heard = Heard(most=2)

    assert [heard.is_news({"id": name}) for name in ("a", "b", "a", "c", "a")] == [True, True, False, True, True]
