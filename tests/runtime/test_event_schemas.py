"""What is told is promised in docs/events, and what was promised stays."""

import json
from copy import deepcopy
from typing import Any

import pytest

from runtime.event_schemas import FOLDER, broken_promises, schemas


def test_the_schemas_that_are_kept_are_those_that_are_told() -> None:
    assert {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")} == schemas()


CHANGES: dict[str, tuple[Any, list[str]]] = {
    "a new field": (lambda it: it["properties"].update(colour={"type": "string"}), []),
    "a field that is taken away": (lambda it: it["properties"].pop("total"), ["total is gone"]),
    "a field of another type": (
        lambda it: it["properties"].update(sequence={"type": "string"}),
        ["sequence has another type"],
    ),
    "a field in another format": (
        lambda it: it["properties"].update(at={"type": "string"}),
        ["at has another type"],
    ),
    "a field that may be missing": (lambda it: it["required"].remove("total"), ["total may be missing"]),
    "a field that may be null": (
        lambda it: it["properties"].update(order_id={"anyOf": [it["properties"]["order_id"], {"type": "null"}]}),
        ["order_id has another type"],
    ),
    "a field of a field": (
        lambda it: it["$defs"]["Amount"]["properties"].pop("currency"),
        ["total.currency is gone"],
    ),
    "a value more": (lambda it: it["$defs"]["OrderStatus"]["enum"].append("archived"), []),
    "a value less": (
        lambda it: it["$defs"]["OrderStatus"]["enum"].remove("shipped"),
        ["order.status is never shipped any more"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_within_a_version_fields_and_values_come_and_never_go(change: str) -> None:
    make, broken = CHANGES[change]
    before = schemas()["order.confirmed.v1"]
    after = deepcopy(before)
    make(after)

    assert broken_promises(before, after) == broken
    assert broken_promises(before, before) == []
