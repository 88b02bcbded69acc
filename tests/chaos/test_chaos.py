"""The short form of `make chaos`, and that it would notice what it looks for."""

import json
import subprocess
import sys
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from chaos.books import Books, Money
from chaos.laws import longest_undecided, violations
from chaos.schedule import PARTS, KillAt, schedule, steps_of_orders
from chaos.wishes import Diary, Wish
from workers.breakpoints import Moment


@pytest.mark.timeout(420)
def test_no_order_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    """A minute of it; `make chaos MINUTES=60` is the long form."""
    done = subprocess.run(
        [sys.executable, "-m", "chaos", "--minutes", "0.6", "--seed", "4", "--into", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "chaos-report.json").read_text())
    assert report["violations"] == []
    assert report["faults"] >= 8
    assert sum(report["orders"].values()) >= 5
    assert "0 violations" in (tmp_path / "chaos-report.md").read_text()


def test_a_seed_says_which_faults_come() -> None:
    first, again, other = (list(islice(schedule(seed, pause=2), 300)) for seed in (7, 7, 8))

    assert first == again
    assert first != other


def test_every_part_is_killed_at_every_boundary_of_every_step() -> None:
    faults = (fault for _, fault in schedule(1, pause=2))
    places = len(steps_of_orders()) * len(Moment) * len(PARTS)
    kills = list(islice((fault for fault in faults if isinstance(fault, KillAt)), places))

    assert len(set(kills)) == places


# --- the laws -------------------------------------------------------------------------------------------------------

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def an_order(order_id: str, status: str, **otherwise: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "id": order_id,
        "status": status,
        "payment_status": "any",
        "total": 100,
        "captured": 100 if status == "delivered" else 0,
        "refunded": 0,
        "asked_at": BEGIN,
        "challenged_at": None,
        "decided_at": BEGIN + timedelta(seconds=3),
        "was_confirmed": status != "cancelled",
    }
    return {**facts, **otherwise}


def healthy() -> tuple[Books, Diary]:
    tables: dict[str, list[Any]] = {
        "orders": [an_order("c", "confirmed"), an_order("d", "delivered"), an_order("x", "cancelled")],
        "checkouts": [],
        "stock": [{"variant_id": "v", "on_hand": 5, "reserved": 1, "moved_on_hand": 5, "moved_reserved": 1, "held": 1}],
        "holds": [
            {"order_id": "c", "quantity": 1, "shipped": 0, "released": 0, "expires": False, "status": "confirmed"},
            {"order_id": "d", "quantity": 1, "shipped": 1, "released": 0, "expires": False, "status": "delivered"},
            {"order_id": "x", "quantity": 1, "shipped": 0, "released": 1, "expires": True, "status": "cancelled"},
        ],
        "parcels": [{"order_id": "d", "status": "delivered", "units": 1}],
        "lines": [{"order_id": order, "units": 1} for order in "cdx"],
        "gaps": [],
        "double_carts": [],
    }
    money = {
        "c": Money(authorize=100, times={"authorize": 1}),
        "d": Money(authorize=100, capture=100, times={"authorize": 1, "capture": 1}),
        "x": Money(authorize=100, void=100, times={"authorize": 1, "void": 1}),
    }
    wishes = [
        Wish(key="1", cart_id="1", answers={("order", "c")}, order_ids={"c"}),
        Wish(key="2", cart_id="2", answers={("refused", "cancelled"), ("refused", "checkout_cancelled")}),
        Wish(key="3", cart_id="3", is_left_alone=True),
    ]
    return Books(tables=tables, money=money, running=frozenset("c")), Diary(wishes=wishes)


def test_a_healthy_shop_breaks_no_law() -> None:
    assert violations(*healthy()) == []


def changed(table: str, number: int, **facts: Any) -> Any:
    def plant(books: Books, diary: Diary) -> None:
        row: Any = books.tables[table][number]
        row.update(facts)

    return plant


def with_money(order: str, money: Money) -> Any:
    return lambda books, diary: books.money.update({order: money})


PLANTED = {
    "order c is still pending": changed("orders", 0, status="pending"),
    "order x is cancelled/any of 100, but the ledger holds 0 and keeps 100": with_money(
        "x", Money(authorize=100, capture=100, times={"authorize": 1})
    ),
    "order c is confirmed/any of 100, but the ledger holds 0": with_money("c", Money()),
    "order d is delivered/any of 100, but the ledger keeps 200": with_money(
        "d", Money(authorize=200, capture=200, times={"authorize": 2})
    ),
    "the ledger holds 7 and keeps 0 for nobody, which is no order": with_money("nobody", Money(authorize=7)),
    "stock of variant v is not what": changed("stock", 0, moved_on_hand=4),
    "variant v has 1 reserved, but orders hold 2": changed("stock", 0, held=2),
    "order x is cancelled and still holds 1 units": changed("holds", 2, released=0),
    "order d has 1 units, but its parcels carry 2": changed("parcels", 0, units=2),
    "order d is delivered, but 0 units left": changed("parcels", 0, status="cancelled"),
    "key 1 was never answered": lambda books, diary: diary.wishes[0].answers.clear(),
    "key 1 named 2 orders": lambda books, diary: diary.wishes[0].order_ids.add("x"),
    "key 1 was answered": lambda books, diary: diary.wishes[0].answers.add(("refused", "out_of_stock")),
    "key 1 was told of order x, which was never": lambda books, diary: diary.wishes[0].answers.add(("order", "x")),
    "500 from": lambda books, diary: diary.note("POST /v1/checkouts", 500, {}),
}


@pytest.mark.parametrize("breach", PLANTED)
def test_a_planted_fault_is_found(breach: str) -> None:
    books, diary = deepcopy(healthy())
    PLANTED[breach](books, diary)

    assert any(found.startswith(breach) for found in violations(books, diary))


def test_a_workflow_that_is_gone_or_left_behind_is_found() -> None:
    books, diary = healthy()
    swapped = Books(tables=books.tables, money=books.money, running=frozenset("d"))

    assert violations(swapped, diary) == [
        "order c is confirmed, its workflow is gone",
        "order d is delivered, its workflow is running",
    ]


def test_the_time_that_a_customer_takes_is_not_counted() -> None:
    books, diary = healthy()
    changed("orders", 0, challenged_at=BEGIN + timedelta(seconds=1), decided_at=BEGIN + timedelta(seconds=60))(
        books, diary
    )
    diary.acted_at["c"] = BEGIN + timedelta(seconds=55)

    assert longest_undecided(books, diary) == 5.0
