"""Stripe's search language, as far as payments need it: clauses joined with AND."""

import re
from dataclasses import dataclass, field

from sandbox.errors import StripeError

CLAUSE = re.compile(
    r"""\s*(?P<negated>-)?
        (?:metadata\[(?P<quote>["'])(?P<key>.*?)(?P=quote)\]|(?P<field>\w+))
        \s*(?P<sign>:|>=|<=|>|<)\s*
        (?:(?P<quote2>["'])(?P<text>(?:\\.|(?!(?P=quote2)).)*)(?P=quote2)|(?P<number>\d+))\s*""",
    re.VERBOSE,
)
TEXTS = frozenset({"status", "currency", "customer"})
NUMBERS = frozenset({"amount", "created"})


@dataclass
class Condition:
    """A piece of SQL over the intents and the values it needs."""

    clauses: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)

    @property
    def sql(self) -> str:
        return " AND ".join(self.clauses)

    def add(self, clause: str, *values: object) -> None:
        self.clauses.append(clause)
        self.values.extend(values)


def parse(query: str) -> Condition:
    """The condition that ``query`` states, or Stripe's 400 for one that is not understood."""
    condition = Condition()
    at = 0
    while True:
        found = CLAUSE.match(query, at)
        if not found:
            raise _not_understood(query)
        _translate(found, condition, query)
        at = found.end()
        if at == len(query):
            return condition
        joint = re.compile(r"AND(?=\s|-)", re.IGNORECASE).match(query, at)
        if not joint:
            raise _not_understood(query)
        at = joint.end()


def _translate(found: re.Match[str], condition: Condition, query: str) -> None:
    is_not = "NOT " if found["negated"] else ""
    text = re.sub(r"\\(.)", r"\1", found["text"]) if found["text"] is not None else None
    if found["key"] is not None and found["sign"] == ":" and text is not None:
        those = "SELECT payment_intent FROM payment_intent_metadata WHERE key = ? AND value = ?"
        condition.add(f"id {is_not}IN ({those})", found["key"], text)
    elif found["field"] in TEXTS and found["sign"] == ":" and text is not None:
        condition.add(f"{is_not}{found['field']} = ?", text)
    elif found["field"] in NUMBERS and found["number"] is not None:
        sign = "=" if found["sign"] == ":" else found["sign"]
        condition.add(f"{is_not}{found['field']} {sign} ?", int(found["number"]))
    else:
        raise _not_understood(query)


def _not_understood(query: str) -> StripeError:
    return StripeError(400, f"We were unable to parse your search query: {query}", param="query")
