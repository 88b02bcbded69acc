"""The tables of states: drawn as they are, and held in every pair."""

from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from domain import orders, returns, shipping
from domain.errors import Refusal
from domain.orders import OrderStatus
from domain.returns import OrderReturnStatus, ReturnStatus
from domain.shipping import OrderFulfillmentStatus
from domain.states import MACHINES, Machine, document

PAGE = Path(__file__).parents[2] / "docs" / "states.md"


def test_the_page_shows_the_tables_as_they_are() -> None:
    assert PAGE.read_text() == document()


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_is_in_the_table_reachable_and_leads_to_an_end_or_is_seen_to(machine: Machine) -> None:
    states = set(type(machine.first))
    assert set(machine.moves) == states
    reached, edge = {machine.first}, [machine.first]
    while edge:
        news = machine.moves[edge.pop()] - reached
        reached |= news
        edge += news
    assert reached == states
    assert set(machine.deadlines) == {state for state, moves in machine.moves.items() if moves}


@pytest.mark.parametrize(
    ("rules", "states"),
    [(returns, OrderReturnStatus), (shipping, OrderFulfillmentStatus)],
    ids=["returns", "parcels"],
)
def test_what_an_order_adds_up_to_never_goes_where_the_table_does_not_lead(rules: Any, states: type[StrEnum]) -> None:
    for current in states:
        for wanted in states:
            if wanted is current or wanted in rules.MOVES_OF_ORDERS[current]:
                rules.check_move_of_order(current, wanted)
                continue
            with pytest.raises(AssertionError, match=f"from {current} to {wanted}"):
                rules.check_move_of_order(current, wanted)


@pytest.mark.parametrize(
    ("check", "states", "table", "code"),
    [
        (orders.check_move, OrderStatus, orders.ALLOWED_MOVES, "order_transition_not_allowed"),
        (returns.check_move, ReturnStatus, returns.ALLOWED_MOVES, "return_transition_not_allowed"),
    ],
    ids=["orders", "returns"],
)
def test_every_pair_is_allowed_or_refused_with_what_is_allowed(
    check: Any, states: type[StrEnum], table: dict[Any, frozenset[Any]], code: str
) -> None:
    for current in states:
        for wanted in states:
            if wanted in table[current]:
                check(current, wanted)
                continue
            with pytest.raises(Refusal) as refused:
                check(current, wanted)
            assert refused.value.code == code
            assert refused.value.facts == {
                "current_status": str(current),
                "allowed": sorted(str(move) for move in table[current]),
            }
