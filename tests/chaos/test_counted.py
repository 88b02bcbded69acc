"""The runs that count would notice what they look for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chaos.books import Books, Money
from chaos.payments import captures_lost, charged_twice


def books(*, captured: int, **money: Any) -> Books:
    order = {"id": "d", "status": "delivered", "total": 120, "credit": 20, "captured": captured}
    read_at = datetime(2026, 1, 1, tzinfo=UTC)
    return Books(tables={"orders": [order]}, money={"d": Money(**money)}, running=frozenset(), read_at=read_at)


@pytest.mark.parametrize(
    ("found", "twice", "lost"),
    [
        (books(captured=100, authorize=100, capture=100, times={"authorize": 1, "capture": 1}), [], []),
        (books(captured=100, authorize=200, capture=100, times={"authorize": 2, "capture": 1}), ["d"], []),
        (books(captured=100, authorize=100, capture=200, times={"authorize": 1, "capture": 2}), ["d"], ["d"]),
        (books(captured=100, authorize=100, times={"authorize": 1}), [], ["d"]),
        (books(captured=0, authorize=100, capture=100, times={"authorize": 1, "capture": 1}), [], ["d"]),
    ],
)
def test_a_planted_double_charge_and_a_planted_lost_capture_are_found(
    found: Books, twice: list[str], lost: list[str]
) -> None:
    assert (list(charged_twice(found)), list(captures_lost(found))) == (twice, lost)
