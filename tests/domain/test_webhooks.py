"""How patient the shop is with webhook endpoints."""

from datetime import timedelta
from typing import Any

import pytest

from domain.webhooks import (
    LONGEST_WISH,
    PAUSED_AFTER,
    PAUSED_AFTER_FAILURES,
    PAUSED_AFTER_ORDERS,
    PAUSES,
    PROBE_PAUSES,
    Answer,
    PauseReason,
    is_wanted,
    new_secret,
    pause_after,
    pauses,
    probe_pause,
)

HOUR = timedelta(hours=1)


def test_an_event_is_tried_for_three_days_before_it_is_given_up() -> None:
    rests = [pause_after(failures, chance=0) for failures in range(1, len(PAUSES) + 1)]

    assert None not in rests
    assert sum((rest for rest in rests if rest), timedelta()) >= timedelta(hours=72)
    assert pause_after(len(PAUSES) + 1, chance=0) is None
    assert rests == sorted(rests, key=lambda rest: rest or timedelta())


@pytest.mark.parametrize("failures", [1, 5, len(PAUSES)])
def test_those_that_failed_together_do_not_come_back_together(failures: int) -> None:
    soonest, latest = pause_after(failures, chance=0), pause_after(failures, chance=1)

    assert soonest is not None
    assert latest == soonest * 1.2


@pytest.mark.parametrize(
    ("failures", "wish", "rest"),
    [
        (1, timedelta(minutes=5), timedelta(minutes=5)),
        (1, timedelta(seconds=1), PAUSES[0]),
        (1, timedelta(days=30), LONGEST_WISH),
        (8, timedelta(days=30), PAUSES[7]),
        (len(PAUSES) + 1, HOUR, None),
    ],
)
def test_an_endpoint_may_ask_for_a_longer_rest_within_limits(
    failures: int, wish: timedelta, rest: timedelta | None
) -> None:
    assert pause_after(failures, chance=0, wish=wish) == rest


ENOUGH = {"failures": PAUSED_AFTER_FAILURES, "failing_for": PAUSED_AFTER, "orders": PAUSED_AFTER_ORDERS}


@pytest.mark.parametrize(
    ("status", "otherwise", "reason"),
    [
        (500, {}, PauseReason.FAILING),
        (None, {}, PauseReason.FAILING),
        (500, {"failures": PAUSED_AFTER_FAILURES - 1}, None),
        (500, {"failing_for": PAUSED_AFTER - timedelta(seconds=1)}, None),
        (500, {"orders": PAUSED_AFTER_ORDERS - 1}, None),
        (410, {"failures": 1, "failing_for": timedelta(), "orders": 1}, PauseReason.GONE),
        (404, {"failures": 1, "failing_for": timedelta(), "orders": 1}, None),
    ],
)
def test_an_endpoint_is_left_alone_when_it_says_so_or_when_nothing_gets_through_for_a_while(
    status: int | None, otherwise: dict[str, Any], reason: PauseReason | None
) -> None:
    answer = Answer(status=status, milliseconds=1)

    assert pauses(answer, **{**ENOUGH, **otherwise}) is reason


@pytest.mark.parametrize(
    ("status", "is_taken"), [(200, True), (204, True), (299, True), (302, False), (400, False), (None, False)]
)
def test_only_a_success_is_one(*, status: int | None, is_taken: bool) -> None:
    assert Answer(status=status, milliseconds=1).is_taken is is_taken


def test_a_dead_endpoint_is_tried_less_and_less_often_and_never_given_up() -> None:
    assert [probe_pause(probes, chance=0) for probes in range(8)] == [*PROBE_PAUSES, PROBE_PAUSES[-1], PROBE_PAUSES[-1]]


@pytest.mark.parametrize(
    ("wanted", "is_told"), [((), True), (("order.confirmed",), True), (("order.cancelled",), False)]
)
def test_an_endpoint_is_told_of_what_it_names_or_of_everything(*, wanted: tuple[str, ...], is_told: bool) -> None:
    assert is_wanted(wanted, "order.confirmed") is is_told


def test_no_secret_is_like_another_and_all_begin_as_the_standard_says() -> None:
    secrets = {new_secret() for _ in range(20)}

    assert len(secrets) == 20
    assert all(secret.startswith("whsec_") and len(secret) == 6 + 44 for secret in secrets)
