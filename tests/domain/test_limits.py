"""How limits are written."""

import pytest

from domain.limits import EXACT, Quota, known_name


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("100/min", Quota(100, 60)),
        ("100000/s", Quota(100_000, 1)),
        ("5/10s", Quota(5, 10)),
        ("1000/h", Quota(1000, 3600)),
        ("7/24h", Quota(7, 86_400)),
    ],
)
def test_a_limit_is_written_as_it_is_read(text: str, quota: Quota) -> None:
    assert Quota.of(text) == quota
    assert str(quota) == text


def test_a_limit_has_one_form() -> None:
    assert str(Quota.of("60/60s")) == "60/min"
    assert str(Quota.of("60/120min")) == "60/2h"


@pytest.mark.parametrize("text", ["", "100", "0/min", "-1/min", "1/0s", "1/day", "1/25h", "1 / min", "1.5/s", "٣/min"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="written like 100/min"):
        Quota.of(text)


def test_production_begins_with_the_figures_that_are_promised() -> None:
    assert {name: str(quota) for name, quota in EXACT.items()} == {
        "everything": "100000/s",
        "address": "100/min",
        "address.login": "10/min",
        "address.catalogue": "6000/min",
        "address.webhooks": "6000/min",
        "user": "50/min",
    }


def test_a_limit_that_nothing_counts_under_is_refused() -> None:
    assert known_name("user.staff") == "user.staff"
    with pytest.raises(ValueError, match=r"There is no limit user\.stuff"):
        known_name("user.stuff")
