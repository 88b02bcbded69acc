"""News of parcels that come late, twice, or in another order."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.carriers import tracking_url
from domain.tracking import TrackingStatus, is_outdated

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
IN_TRANSIT, DELIVERED = TrackingStatus.IN_TRANSIT, TrackingStatus.DELIVERED


@pytest.mark.parametrize(
    ("news", "at", "known", "outdated"),
    [
        pytest.param(IN_TRANSIT, NOON, None, False, id="the first"),
        pytest.param(DELIVERED, NOON + HOUR, IN_TRANSIT, False, id="newer"),
        pytest.param(IN_TRANSIT, NOON - HOUR, TrackingStatus.OUT_FOR_DELIVERY, True, id="older"),
        pytest.param(DELIVERED, NOON - HOUR, IN_TRANSIT, True, id="an older delivery"),
        pytest.param(IN_TRANSIT, NOON + HOUR, DELIVERED, True, id="newer than a delivery, which is final"),
        pytest.param(DELIVERED, NOON - HOUR, DELIVERED, False, id="the delivery once more"),
    ],
)
def test_parcels_do_not_move_backwards(
    news: TrackingStatus,
    at: datetime,
    known: TrackingStatus | None,
    outdated: bool,  # noqa: FBT001
) -> None:
    assert is_outdated(news, at, known=known, known_at=NOON if known else None) is outdated


def test_a_number_is_put_into_the_address_of_the_carriers_page() -> None:
    assert tracking_url("https://x.test/?n={number}", "1Z 9&a=b") == "https://x.test/?n=1Z%209%26a%3Db"
    assert tracking_url(None, "1Z") is None
    assert tracking_url("https://x.test/{number}", None) is None
