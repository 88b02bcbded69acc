"""What problems are called in other languages than English: one file a language, from their codes to their titles."""

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files

from domain.languages import Languages

TITLES: Mapping[str, Mapping[str, str]] = {
    file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(files(__package__).iterdir(), key=lambda one: one.name)
    if file.name.endswith(".json")
}
LANGUAGES = Languages("en", tuple(TITLES))


def title_of(code: str, english: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """As the request asks for it; in English where a language does not have it."""
    for name, value in headers:
        if name == b"accept-language":
            titles = TITLES.get(LANGUAGES.negotiated(value.decode("latin-1")), {})
            return titles.get(code, english)
    return english
