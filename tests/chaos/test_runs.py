"""The short forms of `make chaos`, `make payments`, `make charges`, `make outage` and `make drill`.

In one file, so that they run one after the other: each has a shop of its own and a machine to wear out.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import uncounted


def run(module: str, *arguments: str, into: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--into", str(into)],
        capture_output=True,
        text=True,
        check=False,
        env=uncounted(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((into / f"{module.rpartition('.')[2]}-report.json").read_text())
    return report


@pytest.mark.timeout(600)
def test_nobody_is_charged_twice_and_no_capture_is_lost_when_answers_are_dropped_and_news_double(
    tmp_path: Path,
) -> None:
    """Some of them; `make payments` is the long form with ten thousand."""
    report = run("chaos.payments", "--count", "40", "--doubled", "0.5", into=tmp_path)

    assert (report["charged_twice"], report["captures_lost"], report["violations"]) == ([], [], [])
    assert report["orders"] == {"delivered, captured": 40}
    assert report["paid_with"] == {"without credit": 30, "partly with credit": 5, "wholly with credit": 5}
    assert report["answers_dropped"] >= 5
    assert report["webhooks_doubled"] >= 1
    assert "| charged twice | 0 |" in (tmp_path / "payments-report.md").read_text()


def test_hundreds_of_charges_are_held_and_taken_once_each(tmp_path: Path) -> None:
    report = run("chaos.charges", "--count", "300", into=tmp_path)

    assert (report["charged_twice"], report["captures_lost"]) == ([], [])
    assert report["answers_dropped"] >= 60
    assert report["calls_repeated"] >= 60
    assert report["webhooks_doubled"] >= 20
    assert report["events_counted"] == 600


@pytest.mark.timeout(600)
@pytest.mark.matrix("checkout: a server is away under load")
@pytest.mark.matrix("checkout: Valkey is away")
def test_every_request_becomes_one_order_or_one_refusal_whichever_server_is_away_under_load(tmp_path: Path) -> None:
    """Some seconds of each; `make outage` is the long form with a minute."""
    servers = ("temporal", "postgres", "valkey", "sandbox")

    report = run("chaos.outage", "--seconds", "5", *(f"--part={server}" for server in servers), into=tmp_path)

    assert report["violations"] == []
    assert report["decided"] == {"confirmed": report["customers"]}
    assert report["orders"] == {"confirmed, authorized": report["customers"]}
    assert set(report["seconds_away"]) == set(servers)
    assert report["answered"]["temporal"].get("202", 0) >= 1


@pytest.mark.timeout(420)
def test_no_order_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    """Half a minute of it; `make chaos MINUTES=60` is the long form."""
    report = run("chaos", "--minutes", "0.6", "--seed", "4", "--products", "300", into=tmp_path)

    assert report["violations"] == []
    assert report["faults"] >= 8
    assert sum(report["orders"].values()) >= 5
    assert report["credit"]["spent"] >= 1
    assert "0 violations" in (tmp_path / "chaos-report.md").read_text()


@pytest.mark.timeout(420)
def test_a_restored_shop_adds_up_and_the_audit_names_whatever_was_sold_after_the_moment(tmp_path: Path) -> None:
    report = run("chaos.restore", "--orders", "2", "--lost", "1", into=tmp_path)

    assert report["violations"] == []
    assert report["orders"] == 6, "two from the backup, two from the archive, two sold since"
    assert report["lost_and_named"] == 1
    assert report["found"] == {
        "amounts_agree": 1,
        "money_has_an_order": 1,
        "orders_have_a_story": 1,
        "stories_have_an_order": 1,
    }
    assert report["left_to_people"] == {"amounts_agree": 1, "money_has_an_order": 1}
