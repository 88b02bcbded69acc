"""How often one may ask: so many requests in so much time, together with whom, and for which kind of request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Together(StrEnum):
    """Who shares what a limit allows."""

    EVERYTHING = "everything"
    ADDRESS = "address"
    USER = "user"


class Kind(StrEnum):
    """What is asked for."""

    LOGIN = "login"
    CATALOGUE = "catalogue"
    WEBHOOKS = "webhooks"
    CHECKOUTS = "checkouts"
    ACCOUNTS = "accounts"
    STAFF = "staff"
    STREAMS = "streams"
    OTHERS = "others"


NAMES = frozenset({*Together, *(f"{together}.{kind}" for together in Together for kind in Kind)})
"""``address`` is for all kinds that have no limit of their own; ``address.login`` for that kind alone."""

UNITS = {"s": 1, "min": 60, "h": 3600}
FORM = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,4})?(s|min|h)")
LONGEST_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Quota:
    """At most so many requests in any stretch of time that is so long."""

    amount: int
    seconds: int

    @classmethod
    def of(cls, text: str) -> Self:
        """``100/min``, ``5/10s``; raises ``ValueError`` for anything else."""
        found = FORM.fullmatch(text)
        seconds = int(found[2] or 1) * UNITS[found[3]] if found else 0
        if found is None or seconds > LONGEST_SECONDS:
            raise ValueError("A limit is written like 100/min, 5/10s or 1000/h, and looks back for a day at most.")
        return cls(int(found[1]), seconds)

    def __str__(self) -> str:
        unit = next(unit for unit, length in reversed(UNITS.items()) if self.seconds % length == 0)
        times = self.seconds // UNITS[unit]
        return f"{self.amount}/{times if times > 1 else ''}{unit}"


EXACT: Mapping[str, Quota] = {
    "everything": Quota(100_000, 1),
    "address": Quota(100, 60),
    "address.login": Quota(10, 60),
    "address.catalogue": Quota(6_000, 60),
    "address.webhooks": Quota(6_000, 60),
    "user": Quota(50, 60),
}
"""What holds in production when nothing else was set."""

ONE_MACHINE: Mapping[str, Quota] = {
    name: Quota(1_000_000, 60) if name != "everything" else quota for name, quota in EXACT.items()
}
"""Elsewhere all customers, tests and measurements share one address."""


def known_name(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"There is no limit {name}; a name is like address, or address.checkouts for one kind.")
    return name
