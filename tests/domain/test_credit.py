"""Codes of gift cards, how credit pays, and how it comes back."""

import re
from uuid import UUID

import pytest

from domain.credit import (
    CreditKind,
    Obstacle,
    Paid,
    Purse,
    RefundParts,
    coming_back,
    new_code,
    normalised,
    refund_parts,
    tender,
)
from domain.money import Money
from domain.settling import amount_to_capture


def test_codes_are_drawn_in_groups_of_letters_that_nobody_mixes_up() -> None:
    codes = {new_code() for _ in range(100)}

    assert len(codes) == 100
    assert all(re.fullmatch(r"([2-9A-HJ-NP-Z]{4}-){3}[2-9A-HJ-NP-Z]{4}", code) for code in codes)


@pytest.mark.parametrize("typed", ["K7QP-29XM-HHTR-5ZED", "k7qp29xmhhtr5zed", " K7QP 29XM\tHHTR 5ZED "])
def test_a_code_is_the_same_however_it_is_typed(typed: str) -> None:
    assert normalised(typed) == "K7QP29XMHHTR5ZED"


CARD, OTHER, MINE = UUID(int=1), UUID(int=2), UUID(int=3)


def a_card(balance: int, account_id: UUID = CARD, *, obstacle: Obstacle | None = None) -> Purse:
    return Purse(account_id=account_id, kind=CreditKind.GIFT_CARD, last4="5ZED", balance=balance, obstacle=obstacle)


def store_credit(balance: int) -> Purse:
    return Purse(account_id=MINE, kind=CreditKind.STORE_CREDIT, last4=None, balance=balance)


@pytest.mark.parametrize(
    ("total", "purses", "paid", "due"),
    [
        (5000, [], [], 5000),
        (5000, [a_card(1000)], [1000], 4000),
        (5000, [a_card(5000)], [5000], 0),
        (5000, [a_card(9000)], [5000], 0),
        (5000, [a_card(1000), a_card(2500, OTHER), store_credit(900)], [1000, 2500, 900], 600),
        (3000, [a_card(1000), a_card(2500, OTHER), store_credit(900)], [1000, 2000, 0], 0),
        (5000, [a_card(1000, obstacle=Obstacle.EXPIRED), store_credit(900)], [0, 900], 4100),
        (0, [a_card(1000), store_credit(900)], [0, 0], 0),
    ],
)
def test_gift_cards_pay_first_then_store_credit_and_the_provider_the_rest(
    total: int, purses: list[Purse], paid: list[int], due: int
) -> None:
    told = tender(Money(total, "USD"), purses)

    assert [share.amount for share in told.shares] == paid
    assert (told.due, told.credit) == (Money(due, "USD"), total - due)


def test_an_empty_card_stands_in_the_way_only_of_what_somebody_would_have_to_pay_instead() -> None:
    empty, good = a_card(0, OTHER), a_card(1000)
    dear, cheap = tender(Money(1001, "USD"), [good, empty]), tender(Money(1000, "USD"), [good, empty])

    assert [dear.obstacle_of(share) for share in dear.cards] == [None, Obstacle.EMPTY]
    assert [cheap.obstacle_of(share) for share in cheap.cards] == [None, None]


@pytest.mark.parametrize(
    ("amount", "back"),
    [
        (0, []),
        (400, [(MINE, 400)]),
        (900, [(MINE, 900)]),
        (901, [(MINE, 900), (OTHER, 1)]),
        (4400, [(MINE, 900), (OTHER, 2500), (CARD, 1000)]),
    ],
)
def test_what_paid_last_gets_its_part_back_first(amount: int, back: list[tuple[UUID, int]]) -> None:
    paid = [
        Paid(account_id=CARD, amount=1000),
        Paid(account_id=OTHER, amount=2500),
        Paid(account_id=MINE, amount=900),
    ]

    assert coming_back(amount, paid) == [Paid(account_id=account, amount=part) for account, part in back]


@pytest.mark.parametrize(
    ("amount", "payment_left", "of_payment", "of_credit"),
    [(500, 3000, 500, 0), (3000, 3000, 3000, 0), (3500, 3000, 3000, 500), (500, 0, 0, 500), (500, -200, 0, 500)],
)
def test_what_the_provider_took_goes_back_before_credit_does(
    amount: int, payment_left: int, of_payment: int, of_credit: int
) -> None:
    assert refund_parts(amount, payment_left=payment_left) == RefundParts(of_payment=of_payment, of_credit=of_credit)


@pytest.mark.parametrize("credit", [0, 1, 999, 3000, 4998, 4999])
def test_credit_and_captures_add_up_to_the_total_in_whatever_parcels_it_leaves(credit: int) -> None:
    due, captured, unsent = Money(4999 - credit, "USD"), 0, 4500
    for worth in (1, 1499, 3000):
        unsent -= worth
        captured += amount_to_capture(due=due, unsent=unsent, captured=Money(captured, "USD")).minor
        assert captured == max(4999 - unsent - credit, 0)

    assert captured + credit == 4999
