"""The JSON Schemas of events, made from ``domain.events``: ``python -m runtime.event_schemas`` writes them.

They are kept in ``docs/events/``, so that a change of what is told is seen when it is reviewed. What would break
whoever reads a version is not written: it needs the next version.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from domain.events import CATALOGUE, schema_name

FOLDER = Path(__file__).parents[1] / "docs" / "events"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """By names such as ``order.placed.v1``."""
    return {
        schema_name(happened, version): _schema(schema_name(happened, version), data)
        for happened, versions in CATALOGUE.items()
        for version, data in versions.items()
    }


def _schema(name: str, data: type) -> dict[str, Any]:
    made = TypeAdapter(data).json_schema(mode="serialization")
    return {"$schema": DIALECT, **made, "title": name}


def broken_promises(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What whoever reads by the one schema would miss in events of the other; new fields harm nobody."""
    return list(_broken(before, after, before.get("$defs", {}), after.get("$defs", {}), ""))


def _broken(
    before: Mapping[str, Any], after: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], path: str
) -> Iterator[str]:
    before, after = _resolved(before, old), _resolved(after, new)
    if _shape(before) != _shape(after):
        yield f"{path or 'the event'} has another type"
        return
    for name, field in before.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        if name not in after["properties"]:
            yield f"{here} is gone"
            continue
        if name in before.get("required", ()) and name not in after.get("required", ()):
            yield f"{here} may be missing"
        yield from _broken(field, after["properties"][name], old, new, here)
    if "items" in before:
        yield from _broken(before["items"], after["items"], old, new, f"{path}[]")
    for value in set(before.get("enum", ())) - set(after.get("enum", ())):
        yield f"{path} is never {value} any more"
    for one, other in zip(before.get("anyOf", ()), after.get("anyOf", ()), strict=True):
        yield from _broken(one, other, old, new, path)


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return definitions[reference.removeprefix("#/$defs/")] if reference else schema


def _shape(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    return schema.get("type"), schema.get("format"), len(schema.get("anyOf", ()))


def write() -> int:
    """The exit code is 1 when a promise would be broken; then nothing is written."""
    broken = [
        f"{path.stem}: {why}"
        for path in sorted(FOLDER.glob("*.json"))
        for why in (
            broken_promises(json.loads(path.read_text()), schemas()[path.stem])
            if path.stem in schemas()
            else ["is told no more"]
        )
    ]
    for line in broken:
        print(f"{line}. Make the next version of the event, or leave this one as it is.", file=sys.stderr)
    if not broken:
        FOLDER.mkdir(exist_ok=True)
        for name, schema in schemas().items():
            (FOLDER / f"{name}.json").write_text(json.dumps(schema, indent=2) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(write())
