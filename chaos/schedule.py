"""What goes wrong, and when: an endless list of faults that follows from a seed."""

import importlib
import pkgutil
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import workflows.steps
from workers.breakpoints import Moment
from workflows.names import Queue
from workflows.steps.step import Step

SERVERS = ("postgres", "valkey", "temporal", "sandbox", "api")
PARTS = (*SERVERS, *(f"{queue} worker" for queue in Queue))
"""Everything that can be killed, by the names that the supervisor uses."""

NOT_OF_ORDERS = ("audit", "customers", "notifications", "mailbox", "events", "webhooks")
"""Nouns whose steps no order asks for: accounts, their mails, the post, the events, which are carried for hours at a
time, whoever they are sent to, and the audit."""


@dataclass(frozen=True)
class Kill:
    """kill -9, whatever the part is doing."""

    part: str

    @property
    def kind(self) -> str:
        return f"kill {self.part}"


@dataclass(frozen=True)
class KillAt:
    """kill -9 while some order's step is about to begin, or has just ended and nobody knows it yet."""

    part: str
    step: str
    moment: Moment

    @property
    def kind(self) -> str:
        return f"kill {self.part}"


@dataclass(frozen=True)
class Misbehave:
    """The outside world misbehaves for some seconds; ``faults`` is what the sandbox is told."""

    kind: str
    faults: dict[str, Any]
    seconds: float


Fault = Kill | KillAt | Misbehave


def steps_of_orders() -> list[str]:
    """Every step that any story of an order takes."""
    found: set[str] = set()
    for module in pkgutil.iter_modules(workflows.steps.__path__):
        if module.name not in NOT_OF_ORDERS:
            values = vars(importlib.import_module(f"workflows.steps.{module.name}")).values()
            found |= {value.name for value in values if isinstance(value, Step)}
    return sorted(found)


def schedule(seed: int, *, pause: float) -> Iterator[tuple[float, Fault]]:
    """Faults with the seconds before each, ``pause`` on average; the same for the same seed, without end."""
    dice = random.Random(seed)
    boundaries = _boundaries(dice)
    while True:
        match dice.random():
            case luck if luck < 0.55:
                fault: Fault = next(boundaries)
            case luck if luck < 0.75:
                fault = Kill(dice.choice(PARTS))
            case _:
                fault = _misbehaviour(dice)
        yield dice.uniform(0.3, 1.7) * pause, fault


def _boundaries(dice: random.Random) -> Iterator[KillAt]:
    """Each round comes to every boundary of every step; round by round all parts are killed at each."""
    places = [(step, moment) for step in steps_of_orders() for moment in Moment]
    first_victims = {place: dice.randrange(len(PARTS)) for place in places}
    rounds = 0
    while True:
        dice.shuffle(places)
        for place in places:
            step, moment = place
            yield KillAt(PARTS[(first_victims[place] + rounds) % len(PARTS)], step, moment)
        rounds += 1


def _misbehaviour(dice: random.Random) -> Misbehave:
    kind, payments = dice.choice(
        [
            ("drop answers", {"drop_response_rate": 0.5}),
            ("answer with errors", {"error_rate": 0.5}),
            ("answer late", {"latency_ms": dice.randrange(200, 1500)}),
            ("be away", {"error_rate": 1.0}),
            ("double webhooks", {"duplicate_webhook_rate": 1.0}),
            ("delay webhooks", {"webhook_delay_ms": dice.randrange(500, 3000)}),
            ("shuffle webhooks", {"webhook_jitter_ms": dice.randrange(500, 3000), "duplicate_webhook_rate": 0.3}),
            ("hang", {"next": [{"operation": _operation(dice), "fault": "hang", "ms": 3000}]}),
            ("fail after the work", {"next": [{"operation": _operation(dice), "fault": "error_after"}]}),
            ("refuse mail", {}),
        ]
    )
    faults: dict[str, Any] = {"payments": payments} if payments else {"mail": {"error_rate": 0.7}}
    return Misbehave(kind, faults, dice.uniform(1.0, 4.0))


def _operation(dice: random.Random) -> str:
    return dice.choice(["create", "create", "capture", "cancel", "refund", "search", "retrieve"])
