"""Stories that began with yesterday's code go on with today's."""

import base64
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.workflow import NondeterminismError

from runtime.resources import Resources
from tests.replay.record import HISTORIES, PLANTED
from tests.replay.reordered import CardBeforeGoods, ParcelBeforeMoney
from tests.support.shopper import ADDRESS
from workers.histories import STORIES, replayer
from workers.run import DUTIES

RECORDED = sorted(HISTORIES.glob("*.json"))


def history_in(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
@pytest.mark.matrix("checkout: a deploy changes a story that is being told")
async def test_a_story_goes_on_as_it_began(path: Path) -> None:
    await replayer(*STORIES).replay_workflow(history_in(path))


@pytest.mark.parametrize("path", [path for path in RECORDED if path.stem.startswith("Checkout-")], ids=lambda p: p.stem)
async def test_a_story_told_in_another_order_is_noticed(path: Path) -> None:
    with pytest.raises(NondeterminismError):
        await replayer(CardBeforeGoods).replay_workflow(history_in(path))


@pytest.mark.parametrize(
    "path", [path for path in RECORDED if '"shipping.charge"' in path.read_text()], ids=lambda p: p.stem
)
async def test_a_parcel_that_would_leave_before_it_is_paid_is_noticed(path: Path) -> None:
    with pytest.raises(NondeterminismError):
        await replayer(ParcelBeforeMoney).replay_workflow(history_in(path))


async def test_every_story_that_workers_tell_was_recorded(resources: Resources) -> None:
    told = {story.__name__ for build in DUTIES.values() for story in build(resources).workflows}
    recorded = defaultdict(list)
    for path in RECORDED:
        story, _, case = path.stem.partition("-")
        recorded[story].append(case)

    assert set(recorded) == told == {story.__name__ for story in STORIES}
    assert {"verified", "expired"} <= set(recorded["Registration"])
    assert {"confirmed", "expired", "refused", "nobody_asked"} <= set(recorded["Confirmation"])
    assert {"confirmed", "declined", "out_of_stock", "approved_at_the_bank"} <= set(recorded["Checkout"])
    assert {"transfer_received", "transfer_expired", "let_go_unpaid"} <= set(recorded["Checkout"])
    assert {"approved", "declined", "given_up"} <= set(recorded["Payment"])
    assert {"completed", "tried_again", "cancelled", "in_its_second_run"} <= set(recorded["CatalogImport"])
    assert {"delivered", "cancelled", "capture_refused", "in_time", "late", "in_its_second_run", "seen_after"} <= set(
        recorded["Fulfillment"]
    )


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_file_holds_the_story_that_its_name_says(path: Path) -> None:
    started = json.loads(path.read_text())["events"][0]["workflowExecutionStartedEventAttributes"]

    assert started["workflowType"]["name"] == path.stem.partition("-")[0]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_history_tells_nothing_about_anybody(path: Path) -> None:
    told = everything_in(json.loads(path.read_text())).lower()

    private = [PLANTED, "@example.com", "argon2", ADDRESS["name"], ADDRESS["line1"], ADDRESS["postal_code"]]
    assert [secret for secret in private if secret.lower() in told] == []


def test_whoever_looks_into_a_history_sees_its_payloads_decoded() -> None:
    assert "pm_card_visa" in everything_in(json.loads((HISTORIES / "Checkout-confirmed.json").read_text()))


def everything_in(node: Any) -> str:
    """All texts of the history, those inside its payloads too."""
    if isinstance(node, dict):
        data = node.get("data")
        inside = base64.b64decode(data).decode(errors="replace") if isinstance(data, str) else ""
        return "\n".join([inside, *(everything_in(value) for value in node.values())])
    if isinstance(node, list):
        return "\n".join(everything_in(value) for value in node)
    return str(node)
