"""Form-encoded words with bracketed names, turned into typed parameters."""

import re
from typing import Any, TypeVar

import msgspec

from sandbox.errors import StripeError
from sandbox.params import Params

Pairs = list[tuple[str, str]]
Tree = dict[str, Any]
P = TypeVar("P", bound=Params)

LISTS = frozenset({"expand", "line_items", "payment_method_types"})
FIELD = re.compile(r"field `([^`]+)`")
PLACE = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`")


def read(pairs: Pairs, kind: type[P]) -> P:
    """The parameters that ``pairs`` spell, or the 400 that says which one is wrong."""
    try:
        params = msgspec.convert(nest(pairs), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), dict(pairs)) from None
    _check_metadata(getattr(params, "metadata", None))
    return params


def nest(pairs: Pairs) -> Tree:
    """``a[b]=1`` and ``a[c][0]=2`` as nested dictionaries; the names in ``LISTS`` become lists."""
    tree: Tree = {}
    for name, value in pairs:
        *path, last = name.replace("]", "").split("[")
        node = tree
        for part in path:
            deeper = node.setdefault(part, {})
            if not isinstance(deeper, dict):
                raise StripeError(400, f"Invalid parameter: {name}", code="parameter_unknown", param=name)
            node = deeper
        node[last or str(len(node))] = value
    for name in LISTS & tree.keys():
        items = tree[name]
        if isinstance(items, dict):
            tree[name] = list(items.values())
    return tree


def _refusal(complaint: str, given: dict[str, str]) -> StripeError:
    place = PLACE.search(complaint)
    path = [part for part in re.split(r"[.\[\]]+", place[1]) if part] if place else []
    if field := FIELD.search(complaint):
        path.append(field[1])
        missing = "missing" in complaint
        param = _bracketed(path)
        message = f"Missing required param: {param}." if missing else f"Received unknown parameter: {param}"
        return StripeError(400, message, code="parameter_missing" if missing else "parameter_unknown", param=param)
    param = _bracketed(path)
    value = given.get(param, "")
    if "int" in complaint:
        too_small = value.lstrip("-").isdigit()
        message = f"Invalid integer: {value}" if not too_small else f"{param} is out of range: {value}"
        return StripeError(400, message, code="parameter_invalid_integer", param=param)
    return StripeError(400, f"Invalid {param}: {value}", param=param)


def _bracketed(path: list[str]) -> str:
    return path[0] + "".join(f"[{part}]" for part in path[1:]) if path else ""


def _check_metadata(metadata: dict[str, str] | str | None) -> None:
    if not isinstance(metadata, dict):
        return
    if len(metadata) > 50:
        raise StripeError(400, "Metadata can have at most 50 keys.", param="metadata")
    for key, value in metadata.items():
        if len(key) > 40:
            raise StripeError(400, f"Metadata keys have at most 40 characters: {key}", param="metadata")
        if len(value) > 500:
            raise StripeError(400, "Metadata values have at most 500 characters.", param=f"metadata[{key}]")
