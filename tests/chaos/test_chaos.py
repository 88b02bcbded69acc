"""What a chaos run does, and that it would notice what it looks for."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from chaos.books import Books, Money
from chaos.laws import facts_of, longest_undecided, violations
from chaos.schedule import PARTS, KillAt, schedule, steps_of_orders
from chaos.wishes import Diary, Promise, Wish
from workers.breakpoints import Moment


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


def an_order(order_id: str, status: str, payment: str, **otherwise: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "id": order_id,
        "status": status,
        "payment_status": payment,
        "payment": payment,
        "cancel_reason": None,
        "subtotal": 90,
        "discount": 0,
        "shipping": 10,
        "tax": 0,
        "total": 100,
        "credit": 0,
        "needs_a_person": False,
        "is_closed": False,
        "provider": "stripe",
        "due_at": None,
        "authorized": 100,
        "captured": 0,
        "refunded": 0,
        "refunding": 0,
        "credited": 0,
        "asked_at": BEGIN,
        "challenged_at": None,
        "decided_at": BEGIN + timedelta(seconds=3),
        "was_confirmed": status != "cancelled",
    }
    return {**facts, **otherwise}


def a_parcel(parcel_id: str, order_id: str, status: str, charge: int | None, **otherwise: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "id": parcel_id,
        "order_id": order_id,
        "status": status,
        "charge": charge,
        "has_left": status in ("shipped", "delivered"),
        "undelivered": None,
        "remedy": None,
        "replaces_id": None,
        "refund_id": None,
    }
    return {**facts, **otherwise}


def a_refund(refund_id: str, order_id: str, status: str, amount: int, **otherwise: Any) -> dict[str, Any]:
    facts = {"id": refund_id, "order_id": order_id, "status": status, "amount": amount}
    return {**facts, "of_credit": 0, "goes_to": "origin", **otherwise}


RUNNING = frozenset({"order:c", "aftercare:d"})
ORDERED = 3
"""Units of each order, of one variant, 30 each."""


def healthy() -> tuple[Books, Diary]:
    """An order that waits, one with all that can happen to delivered goods, and one that was cancelled.

    Of the busy one, one unit was cancelled, one was lost and sent again, and one was sent back and refunded.
    """
    tables: dict[str, list[Any]] = {
        "orders": [
            an_order("c", "confirmed", "authorized"),
            an_order("d", "delivered", "partially_refunded", captured=70, refunded=30),
            an_order("x", "cancelled", "voided"),
        ],
        "checkouts": [{"order_id": order, "is_refused": order == "x", "has_order": True} for order in "cdx"],
        "lines": [
            {
                "id": f"{order}1",
                "order_id": order,
                "variant_id": "v",
                "quantity": ORDERED,
                "cancelled": order == "d",
                "unit_price": 30,
                "discount": 0,
                "tax": 0,
                "given_up": order == "d",
            }
            for order in "cdx"
        ],
        "parcels": [
            a_parcel("p1", "d", "delivered", 40),
            a_parcel("p2", "d", "cancelled", 30, has_left=True, undelivered="lost", remedy="reship"),
            a_parcel("p3", "d", "delivered", 0, replaces_id="p2"),
            a_parcel("p4", "d", "cancelled", None),
        ],
        "contents": [{"parcel_id": f"p{n}", "line_id": "d1", "quantity": 1} for n in (1, 2, 3, 4)],
        "refunds": [a_refund("r", "d", "succeeded", 30)],
        "refund_items": [{"refund_id": "r", "line_id": "d1", "quantity": 1}],
        "returns": [{"id": "b", "order_id": "d", "status": "refunded", "refund_id": "r"}],
        "return_items": [{"return_id": "b", "line_id": "d1", "quantity": 1, "received": 1, "restocked": 1}],
        "credit_accounts": [],
        "credit_entries": [],
        "concerns": [],
        "stock": [{"variant_id": "v", "on_hand": 9, "reserved": 3, "moved_on_hand": 9, "moved_reserved": 3, "held": 3}],
        "holds": [
            {"order_id": "c", "variant_id": "v", "quantity": 3, "shipped": 0, "released": 0, "expires": False},
            {"order_id": "d", "variant_id": "v", "quantity": 4, "shipped": 3, "released": 1, "expires": False},
            {"order_id": "x", "variant_id": "v", "quantity": 3, "shipped": 0, "released": 3, "expires": True},
        ],
        "movements": [
            {"order_id": "c", "variant_id": "v", "reserved": 3, "shipped": 0, "returned": 0},
            {"order_id": "d", "variant_id": "v", "reserved": 0, "shipped": 3, "returned": 1},
            {"order_id": "x", "variant_id": "v", "reserved": 0, "shipped": 0, "returned": 0},
        ],
        "gaps": [],
        "untold": [],
        "repetitions": [],
        "double_carts": [],
    }
    money = {
        "c": Money(authorize=100, times={"authorize": 1}),
        "d": Money(authorize=100, capture=70, void=30, refund=30, times={"authorize": 1, "capture": 2, "void": 1}),
        "x": Money(authorize=100, void=100, times={"authorize": 1, "void": 1}),
    }
    wishes = [
        Wish(key="1", cart_id="1", answers={("order", "c")}, order_ids={"c"}),
        Wish(key="2", cart_id="2", answers={("refused", "cancelled"), ("refused", "checkout_cancelled")}),
        Wish(key="3", cart_id="3", is_left_alone=True),
    ]
    promises = {
        Promise("parcels", "p2", "shipped"),
        Promise("parcels", "p2", "lost"),
        Promise("refunds", "r", "succeeded"),
        Promise("returns", "b", "approved"),
    }
    books = Books(tables=tables, money=money, running=RUNNING, read_at=BEGIN + timedelta(minutes=5))
    return books, Diary(wishes=wishes, promises=promises)


def test_a_healthy_shop_breaks_no_law() -> None:
    assert violations(*healthy()) == []


def changed(table: str, number: int, **facts: Any) -> Any:
    def plant(books: Books, diary: Diary) -> None:
        row: Any = books.tables[table][number]
        row.update(facts)

    return plant


def also(table: str, **row: Any) -> Any:
    return lambda books, diary: books.tables[table].append(row)


def with_money(order: str, money: Money) -> Any:
    return lambda books, diary: books.money.update({order: money})


def promised(table: str, of: str) -> Any:
    return lambda books, diary: diary.promises.add(Promise(table, "p1", of))


PLANTED = {
    # what is not decided
    "order c is still pending": changed("orders", 0, status="pending"),
    "checkout n was taken in and never placed": also("checkouts", order_id="n", is_refused=False, has_order=False),
    "refund r of order d is still requested": changed("refunds", 0, status="requested"),
    # orders and parcels
    "order c is shipped/authorized, but 3 units are still here": changed("orders", 0, status="shipped"),
    "order d is delivered/partially_refunded, and 1 of 2 units arrived": changed("parcels", 2, status="shipped"),
    "order d is confirmed/partially_refunded, but all its units have left": changed("orders", 1, status="confirmed"),
    "order x is cancelled/voided, but parcels are packed": also("parcels", **a_parcel("q", "x", "pending", None)),
    # what parcels take
    "order x is cancelled/voided, but of 100 captured 0 are refunded": changed("orders", 2, captured=100),
    "order d is delivered/partially_refunded, its parcels took 70, but its payment says 100": changed(
        "orders", 1, captured=100
    ),
    "order d is delivered/partially_refunded, 70 are to pay for what was sent, but 71": lambda books, diary: (
        changed("orders", 1, captured=71)(books, diary),
        changed("parcels", 0, charge=41)(books, diary),
    ),
    # refunds
    "order d is delivered/partially_refunded, 0 are refunded and 30 being refunded": changed(
        "refunds", 0, status="requested"
    ),
    "order d is delivered/partially_refunded, but its payment is captured": changed("orders", 1, payment="captured"),
    "order d is delivered/refunded, but with 30 of 70 refunded it should be": changed(
        "orders", 1, payment="refunded", payment_status="refunded"
    ),
    "order d is delivered/partially_refunded, units worth 30 were refunded with 31": changed("refunds", 0, amount=31),
    # units
    "order d is delivered/partially_refunded, of line d1 1 units are cancelled, but 0 were asked for": changed(
        "lines", 1, given_up=0
    ),
    "order d is delivered/partially_refunded, of line d1 3 units were ordered, but 4 packed": changed(
        "contents", 0, quantity=2
    ),
    "order d is delivered/partially_refunded, of line d1 2 units have left, but 3 were refunded": changed(
        "refund_items", 0, quantity=3
    ),
    "order d is delivered/partially_refunded, of line d1 2 units arrived, but 3 are coming back": changed(
        "return_items", 0, quantity=3
    ),
    # people
    "order c is confirmed/authorized, ['late_parcel'] is open, but": also(
        "concerns", order_id="c", concern="late_parcel", is_open=True
    ),
    "order d is delivered/partially_refunded, but somebody shall still decide": lambda books, diary: (
        changed("orders", 1, needs_a_person=True)(books, diary),
        also("concerns", order_id="d", concern="capture_refused", is_open=True)(books, diary),
    ),
    # the provider's ledger
    "order x is cancelled/voided, the ledger keeps 100 where the books keep 0": with_money(
        "x", Money(authorize=100, capture=100, times={"authorize": 1})
    ),
    "order c is confirmed/authorized, the ledger holds 0": with_money("c", Money()),
    "order d is delivered/partially_refunded, the ledger has 2 authorisations of 200": with_money(
        "d", Money(authorize=200, capture=70, refund=30, void=130, times={"authorize": 2})
    ),
    "order d is delivered/partially_refunded, the ledger holds 30": with_money(
        "d", Money(authorize=100, capture=70, refund=30, times={"authorize": 1})
    ),
    "the ledger holds 7 and keeps 0 for nobody, which is no order": with_money("nobody", Money(authorize=7)),
    # goods
    "stock of variant v is not what": changed("stock", 0, moved_on_hand=4),
    "variant v has 3 reserved, but orders hold 2": changed("stock", 0, held=2),
    "order x is cancelled, of variant v it holds 1 units, not 0": changed("holds", 2, released=2),
    "order x is not there, of variant v it holds 3 units, not 0": lambda books, diary: (
        also("holds", order_id="x", variant_id="v", quantity=3, shipped=0, released=0, expires=True)(books, diary),
        [books.tables[table].pop(2) for table in ("orders", "lines")],
    ),
    "order d is delivered, of variant v it has taken 2 units, but 3 have left": changed("holds", 1, shipped=2),
    "order c is confirmed, of variant v it holds units that expire": changed("holds", 0, expires=True),
    "order d is delivered, of variant v it moved 1 reserved and 3 shipped units": changed("movements", 1, reserved=1),
    "order d is delivered, of variant v it brought 2 units back, not 1 to 1": changed("movements", 1, returned=2),
    # returns
    "return b of order d is refunded, but nothing came back": changed("return_items", 0, received=0),
    "return b of order d is rejected, but 1 units came back": changed("returns", 0, status="rejected"),
    "return b of order d is received, and its refund is succeeded": changed("returns", 0, status="received"),
    "return b of order d is refunded, but its refund is failed": changed("refunds", 0, status="failed"),
    # timelines
    "the timeline of order c has gaps": also("gaps", order_id="c"),
    "order c has changed since the newest entry of its timeline": also("untold", order_id="c"),
    "the timeline of order d says twice: refund.succeeded": also("repetitions", order_id="d", type="refund.succeeded"),
    "cart 1 became more than one order": also("double_carts", cart_id="1"),
    # what was answered
    "key 1 was never answered": lambda books, diary: diary.wishes[0].answers.clear(),
    "key 1 named 2 orders": lambda books, diary: diary.wishes[0].order_ids.add("x"),
    "key 1 was answered": lambda books, diary: diary.wishes[0].answers.add(("refused", "out_of_stock")),
    "key 1 was told of order x, which was never": lambda books, diary: diary.wishes[0].answers.add(("order", "x")),
    "somebody was told that p1 of parcels is returned_to_sender, but": promised("parcels", "returned_to_sender"),
    "somebody was told that p1 of refunds is made, but": promised("refunds", "made"),
    "500 from": lambda books, diary: diary.note("POST /v1/checkouts", 500, {}),
}


@pytest.mark.parametrize("breach", PLANTED)
def test_a_planted_fault_is_found(breach: str) -> None:
    books, diary = deepcopy(healthy())
    PLANTED[breach](books, diary)

    assert any(found.startswith(breach) for found in violations(books, diary)), violations(books, diary)


def test_a_workflow_that_is_gone_or_left_behind_is_found() -> None:
    books, diary = healthy()
    swapped = replace(books, running=frozenset({"order:d", "refund:r", "return:b", "aftercare:x"}))

    assert violations(swapped, diary) == [
        "order c is confirmed, its workflow is gone",
        "order d is delivered, its workflow is running",
        "refund r is succeeded, its workflow is running",
        "return b is refunded, its workflow is running",
        "order d is delivered, its aftercare is gone",
        "order x is cancelled, its aftercare runs",
    ]


def test_goods_that_are_here_need_their_workflow_until_they_are_paid_back() -> None:
    books, diary = healthy()
    changed("returns", 0, status="received")(books, diary)
    changed("refunds", 0, status="failed")(books, diary)

    assert "return b is received, its workflow is gone" in violations(books, diary)
    waiting = replace(books, running=RUNNING | {"return:b"})
    assert not any("workflow" in violation for violation in violations(waiting, diary))


def test_an_order_that_is_closed_needs_nobody_any_more() -> None:
    books, diary = healthy()
    changed("orders", 1, is_closed=True)(books, diary)

    assert violations(books, diary) == ["order d is delivered, its aftercare runs"]
    assert violations(replace(books, running=frozenset({"order:c"})), diary) == []


def test_a_checkout_that_was_refused_while_its_customer_waited_needs_no_order() -> None:
    books, diary = healthy()
    diary.wishes[1].order_ids.add("r")
    assert violations(books, diary) == ["key 2 was told of order r, which does not exist"]

    also("checkouts", order_id="r", is_refused=True, has_order=False)(books, diary)
    assert violations(books, diary) == []


def test_a_return_may_be_rejected_although_somebody_was_told_that_it_is_approved() -> None:
    told = {"id": "b", "status": "rejected"}

    assert facts_of(told) == {"made", "approved", "rejected"}


def test_a_refused_capture_may_leave_its_share_to_the_next_parcels_until_all_have_left() -> None:
    books, diary = healthy()
    books.tables["concerns"].append({"order_id": "c", "concern": "capture_refused", "is_open": False})
    books.tables["parcels"].append(a_parcel("q", "c", "shipped", 30))
    books.tables["contents"].append({"parcel_id": "q", "line_id": "c1", "quantity": 1})
    changed("orders", 0, captured=30)(books, diary)
    changed("holds", 0, shipped=1)(books, diary)
    changed("movements", 0, reserved=2, shipped=1)(books, diary)
    with_money("c", Money(authorize=100, capture=30, times={"authorize": 1, "capture": 1}))(books, diary)
    assert violations(books, diary) == []

    books.tables["concerns"].clear()
    assert violations(books, diary) == [
        "order c is confirmed/authorized, 40 are to pay for what was sent, but 30 were taken"
    ]


def paid_by_transfer() -> tuple[Books, Diary]:
    """Of the orders that wait and were cancelled, the money came by bank transfer; that of the latter is owed."""
    books, diary = healthy()
    facts = {"provider": "manual", "payment": "captured", "payment_status": "captured", "captured": 100}
    changed("orders", 0, **facts)(books, diary)
    changed("orders", 2, **facts, refunding=100, needs_a_person=True)(books, diary)
    also("refunds", **a_refund("t", "x", "requested", 100))(books, diary)
    also("concerns", order_id="x", concern="refund_due", is_open=True)(books, diary)
    with_money("c", Money())(books, diary)
    with_money("x", Money())(books, diary)
    return replace(books, running=books.running | {"refund:t"}), diary


def test_money_of_bank_transfers_is_ours_at_once_and_goes_back_by_hand() -> None:
    assert violations(*paid_by_transfer()) == []


PLANTED_IN_TRANSFERS = {
    "order c is confirmed/captured, but of 100 the transfer brought 99": changed("orders", 0, captured=99),
    "order c is confirmed/captured and was paid ahead, but a parcel took": also(
        "parcels", **a_parcel("q", "c", "pending", 1)
    ),
    "order c is confirmed/captured and was paid by transfer, but the ledger": with_money(
        "c", Money(authorize=100, times={"authorize": 1})
    ),
    "order x is cancelled/captured, but of 100 only 0 go back": changed("orders", 2, refunding=0),
    "order x is cancelled/captured, 100 are to be sent back, but its people": lambda books, diary: books.tables[
        "concerns"
    ].clear(),
}


@pytest.mark.parametrize("breach", PLANTED_IN_TRANSFERS)
def test_a_fault_planted_in_bank_transfers_is_found(breach: str) -> None:
    books, diary = paid_by_transfer()
    PLANTED_IN_TRANSFERS[breach](books, diary)

    assert any(found.startswith(breach) for found in violations(books, diary)), violations(books, diary)


def entry(account: str, reason: str, amount: int, order: str | None = None) -> dict[str, Any]:
    return {"account_id": account, "order_id": order, "reason": reason, "amount": amount}


def paid_with_credit() -> tuple[Books, Diary]:
    """A gift card pays for a part of the orders that wait and were sent; the one that was cancelled, as a whole.

    Of the busy one the card has paid 20, and 5 of the unit that came back; 10 more were refunded as store credit.
    """
    books, diary = healthy()
    changed("orders", 0, credit=40, authorized=60)(books, diary)
    changed("orders", 1, credit=20, authorized=80, captured=50, refunded=25, credited=10)(books, diary)
    changed("orders", 2, credit=100, authorized=0, provider="nothing")(books, diary)
    changed("parcels", 0, charge=20)(books, diary)
    changed("refunds", 0, of_credit=5)(books, diary)
    also("refunds", **a_refund("s", "d", "succeeded", 10, goes_to="store_credit"))(books, diary)
    with_money("c", Money(authorize=60, times={"authorize": 1}))(books, diary)
    with_money("d", Money(authorize=80, capture=50, void=30, refund=25, times={"authorize": 1}))(books, diary)
    with_money("x", Money())(books, diary)
    also("credit_accounts", id="card", kind="gift_card", initial_amount=300, balance=245)(books, diary)
    also("credit_accounts", id="mine", kind="store_credit", initial_amount=None, balance=17)(books, diary)
    books.tables["credit_entries"] += [
        entry("card", "issued", 300),
        entry("mine", "adjusted", 7),
        entry("card", "spent", -40, "c"),
        entry("card", "spent", -20, "d"),
        entry("card", "refunded", 5, "d"),
        entry("mine", "converted", 10, "d"),
        entry("card", "spent", -100, "x"),
        entry("card", "given_back", 100, "x"),
    ]
    diary.cards["card"], diary.store_credit = 300, 7
    return books, diary


def test_credit_pays_first_and_comes_back_last() -> None:
    assert violations(*paid_with_credit()) == []


def test_units_that_are_cancelled_give_back_what_credit_has_paid_too_much() -> None:
    books, diary = paid_with_credit()
    changed("orders", 0, credit=100, authorized=0, provider="nothing")(books, diary)
    changed("lines", 0, cancelled=1, given_up=1)(books, diary)
    changed("holds", 0, released=1)(books, diary)
    changed("movements", 0, reserved=2)(books, diary)
    changed("credit_entries", 2, amount=-100)(books, diary)
    changed("credit_accounts", 0, balance=185)(books, diary)
    with_money("c", Money())(books, diary)
    assert violations(books, diary) == [
        "order c is confirmed/authorized, 0 of its credit went back, not 30",
    ]

    also("credit_entries", **entry("card", "given_back", 30, "c"))(books, diary)
    changed("credit_accounts", 0, balance=215)(books, diary)
    assert violations(books, diary) == []


PLANTED_IN_CREDIT = {
    "gift_card card has a balance of 244, but its entries come to 245": changed("credit_accounts", 0, balance=244),
    "gift_card card was issued with 301, but with 300 by its entries": changed(
        "credit_accounts", 0, initial_amount=301
    ),
    "card card is worth 300, but its issuer was told None": lambda books, diary: diary.cards.clear(),
    "card lost is worth None, but its issuer was told 5": lambda books, diary: diary.cards.update(lost=5),
    "8 of store credit were given, but the books say 7": lambda books, diary: setattr(diary, "store_credit", 8),
    "order c is confirmed/authorized, the credit it spent is -39, not -40": changed("credit_entries", 2, amount=-39),
    "order d is delivered/partially_refunded, the credit it refunded is 6, not 5": changed(
        "credit_entries", 4, amount=6
    ),
    "order d is delivered/partially_refunded, the credit it converted is 9, not 10": changed(
        "credit_entries", 5, amount=9
    ),
    "order d is delivered/partially_refunded, and gave more than it took to ['other']": changed(
        "credit_entries", 4, account_id="other"
    ),
    "order x is cancelled/voided, but 1 of its credit have not gone back": changed("credit_entries", 7, amount=99),
    "order d is delivered/partially_refunded, 1 of its credit went back, not 0": also(
        "credit_entries", **entry("card", "given_back", 1, "d")
    ),
    "order d is delivered/partially_refunded, 10 are store credit now, but its payment says 9": changed(
        "orders", 1, credited=9
    ),
    "order d is delivered/partially_refunded, 50 are to pay for what was sent, but 70": lambda books, diary: (
        changed("orders", 1, captured=70)(books, diary),
        changed("parcels", 0, charge=40)(books, diary),
    ),
    "order c is confirmed/authorized, the ledger has 1 authorisations of 100": with_money(
        "c", Money(authorize=100, times={"authorize": 1})
    ),
}


@pytest.mark.parametrize("breach", PLANTED_IN_CREDIT)
def test_a_fault_planted_in_credit_is_found(breach: str) -> None:
    books, diary = paid_with_credit()
    PLANTED_IN_CREDIT[breach](books, diary)

    assert any(found.startswith(breach) for found in violations(books, diary)), violations(books, diary)


def an_order_at_the_bank(books: Books) -> None:
    """The one that waits has been confirmed by nobody: its customer is at the bank since a minute after the begin."""
    changed("orders", 0, status="pending", payment="requires_action", payment_status="requires_action")(books, None)
    changed("orders", 0, challenged_at=BEGIN + timedelta(minutes=1), decided_at=None, was_confirmed=False)(books, None)
    changed("holds", 0, expires=True)(books, None)
    books.money["c"] = Money()  # type: ignore[index]


def test_an_order_may_wait_for_a_customer_who_never_came_back_as_long_as_that_may_take() -> None:
    books, diary = healthy()
    diary.wishes[0] = Wish(key="1", cart_id="1", order_ids={"c"}, is_left_alone=True)
    an_order_at_the_bank(books)
    assert violations(books, diary) == ["order c is still pending, and its customer does not let it wait"]

    diary.left_at_the_bank.add("c")
    assert violations(books, diary) == []
    later = replace(books, read_at=BEGIN + timedelta(minutes=33))
    assert violations(later, diary) == ["order c is still pending"]


def test_the_time_that_a_customer_takes_is_not_counted() -> None:
    books, diary = healthy()
    changed("orders", 0, challenged_at=BEGIN + timedelta(seconds=1), decided_at=BEGIN + timedelta(seconds=60))(
        books, diary
    )
    diary.acted_at["c"] = BEGIN + timedelta(seconds=55)

    assert longest_undecided(books, diary) == 5.0


def test_the_time_that_a_customer_had_and_let_pass_is_not_counted() -> None:
    books, diary = healthy()
    challenged = BEGIN + timedelta(seconds=1)
    changed("orders", 0, challenged_at=challenged, decided_at=challenged + timedelta(minutes=30, seconds=4))(
        books, diary
    )
    diary.left_at_the_bank.add("c")

    assert longest_undecided(books, diary) == 4.0
