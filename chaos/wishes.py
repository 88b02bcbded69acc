"""What customers asked for and what they were told: the other half of the books."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

Json = Any


def key_of(dice: random.Random) -> str:
    """An ``Idempotency-Key``, the same for the same seed."""
    return str(UUID(int=dice.getrandbits(128), version=4))


@dataclass
class Wish:
    """One ``Idempotency-Key``: however often it is sent, it has one answer."""

    key: str
    cart_id: str
    answers: set[tuple[str, str]] = field(default_factory=set)
    """Every decided answer: ``("order", its id)`` or ``("refused", its code)``."""
    order_ids: set[str] = field(default_factory=set)
    """Every order that any answer named, decided or not."""
    is_left_alone: bool = False
    """The customer went away without an answer and never asked again."""


@dataclass(frozen=True, order=True)
class Promise:
    """What was answered as done of one parcel, refund or return."""

    table: str
    id: str
    of: str


@dataclass
class Diary:
    """Everything that the customers and operators of one run have seen."""

    wishes: list[Wish] = field(default_factory=list)
    acted_at: dict[str, datetime] = field(default_factory=dict)
    """When the customer last did what an order waited for, by the order's id."""
    left_at_the_bank: set[str] = field(default_factory=set)
    """Orders whose customers went away from the bank's page and never came back."""
    statuses: Counter[int] = field(default_factory=Counter)
    silences: int = 0
    """Requests that got no answer at all."""
    bugs: list[str] = field(default_factory=list)
    """Answers that no failure excuses."""
    promises: set[Promise] = field(default_factory=set)
    cards: dict[str, int] = field(default_factory=dict)
    """What each gift card is worth that the shop said it issued, by the card's id, in minor units."""
    store_credit: int = 0
    """What the shop said it gave its customers, in minor units."""
    told: Counter[str] = field(default_factory=Counter)
    """Decided answers of checkouts, by their kind."""

    def is_waited_for(self, cart_id: str) -> bool:
        """Somebody went away from this cart while its checkout was under way."""
        return any(wish.is_left_alone for wish in self.wishes if wish.cart_id == cart_id)

    def note(self, asked: str, status: int, body: Json) -> None:
        self.statuses[status] += 1
        if status == 500 or status > 503:
            said = f"{status} from {asked}: "
            if not any(bug.startswith(said) for bug in self.bugs):  # whoever insists hears it many times
                self.bugs.append(f"{said}{str(body)[:300]}")
