"""Deadlines in days: exact instants, in zones where clocks are changed by an hour, by half an hour, and not at all."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.deadlines import Term, start_of_day

BERLIN = ZoneInfo("Europe/Berlin")  # forward on 29 March 2026 at 01:00 UTC, back on 25 October
NEW_YORK = ZoneInfo("America/New_York")  # forward on 8 March 2026, back on 1 November
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # by half an hour: back on 5 April 2026, forward on 4 October
BEIRUT = ZoneInfo("Asia/Beirut")  # forward at midnight: 29 March 2026 begins at 01:00
HAVANA = ZoneInfo("America/Havana")  # back at 01:00: 1 November 2026 has two midnights


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "days", "since", "end"),
    [
        # a Friday, and the days around it
        (UTC, 1, "2026-06-04T00:00", "2026-06-06T00:00"),
        (UTC, 1, "2026-06-04T23:59:59.999999", "2026-06-06T00:00"),
        (BERLIN, 7, "2026-06-05T10:00", "2026-06-12T22:00"),
        (BERLIN, 7, "2026-06-05T21:59", "2026-06-12T22:00"),
        (BERLIN, 7, "2026-06-05T22:00", "2026-06-13T22:00"),
        # a day of 23 hours and one of 25 between
        (BERLIN, 1, "2026-03-28T12:00", "2026-03-29T22:00"),
        (BERLIN, 7, "2026-03-27T12:00", "2026-04-03T22:00"),
        (BERLIN, 1, "2026-10-24T12:00", "2026-10-25T23:00"),
        (BERLIN, 7, "2026-10-23T12:00", "2026-10-30T23:00"),
        # begun in the hour that comes twice
        (BERLIN, 1, "2026-10-25T00:30", "2026-10-26T23:00"),
        (BERLIN, 1, "2026-10-25T01:30", "2026-10-26T23:00"),
        (NEW_YORK, 1, "2026-03-07T17:00", "2026-03-09T04:00"),
        (NEW_YORK, 1, "2026-10-31T17:00", "2026-11-02T05:00"),
        (NEW_YORK, 7, "2026-06-05T03:59", "2026-06-12T04:00"),
        (LORD_HOWE, 1, "2026-04-04T05:00", "2026-04-05T13:30"),
        (LORD_HOWE, 1, "2026-10-03T05:00", "2026-10-04T13:00"),
        (LORD_HOWE, 7, "2026-06-05T13:30", "2026-06-13T13:30"),
        # the ends of months, of February, of years
        (BERLIN, 30, "2026-01-31T12:00", "2026-03-02T23:00"),
        (BERLIN, 1, "2028-02-28T12:00", "2028-02-29T23:00"),
        (NEW_YORK, 30, "2026-12-31T12:00", "2027-01-31T05:00"),
        # a midnight that is skipped, and one that comes twice
        (BEIRUT, 1, "2026-03-27T12:00", "2026-03-28T22:00"),
        (HAVANA, 1, "2026-10-30T12:00", "2026-11-01T04:00"),
    ],
)
def test_a_term_ends_with_its_last_day(zone: ZoneInfo, days: int, since: str, end: str) -> None:
    assert Term(days=days, zone=zone).end(at(since)) == at(end)


def test_days_have_as_many_hours_as_clocks_give_them() -> None:
    def hours(day: date, zone: ZoneInfo) -> timedelta:
        return start_of_day(day + timedelta(days=1), zone) - start_of_day(day, zone)

    assert hours(date(2026, 3, 29), BERLIN) == timedelta(hours=23)
    assert hours(date(2026, 10, 25), BERLIN) == timedelta(hours=25)
    assert hours(date(2026, 3, 8), NEW_YORK) == timedelta(hours=23)
    assert hours(date(2026, 11, 1), NEW_YORK) == timedelta(hours=25)
    assert hours(date(2026, 4, 5), LORD_HOWE) == timedelta(hours=24, minutes=30)
    assert hours(date(2026, 10, 4), LORD_HOWE) == timedelta(hours=23, minutes=30)


@pytest.mark.parametrize("zone", [UTC, BERLIN, NEW_YORK, LORD_HOWE, BEIRUT, HAVANA], ids=str)
def test_looking_back_and_looking_ahead_agree_in_every_hour_of_a_year(zone: ZoneInfo) -> None:
    term, begin = Term(days=3, zone=zone), at("2026-01-01T00:00")
    for hour in range(0, 365 * 24, 7):
        since = begin + timedelta(hours=hour)
        end = term.end(since)
        assert term.reaches_back_to(end - timedelta(microseconds=1)) <= since
        assert term.reaches_back_to(end) > since


def test_no_days_are_no_time() -> None:
    term, now = Term(days=0, zone=BERLIN), at("2026-06-05T10:00")

    assert term.end(now) == term.reaches_back_to(now) == now
