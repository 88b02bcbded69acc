"""The languages of a shop, and in which of them somebody is answered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

LONGEST_WISH = 200
"""Of an ``Accept-Language``. No browser sends a longer one; what is longer is answered in the shop's own language."""


@dataclass(frozen=True, slots=True)
class Languages:
    """BCP 47 tags, such as ``de`` or ``pt-BR``."""

    own: str
    """In which products are written where nothing else is said."""
    others: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (self.own, *self.others)

    def negotiated(self, wish: str) -> str:
        """The best of them for an ``Accept-Language`` (RFC 4647, lookup): ``de-AT`` is content with ``de``."""
        if not self.others or len(wish) > LONGEST_WISH:
            return self.own
        return _negotiated(self, wish)

    def chain(self, language: str) -> tuple[str, ...]:
        """Where a text is looked for, the first one first; when none of them has it, the shop's own is taken."""
        return tuple(tag for tag in narrowed(language) if tag in self.others)


@lru_cache(maxsize=1024)
def _negotiated(languages: Languages, wish: str) -> str:
    known = {tag.lower(): tag for tag in languages.all}
    for asked in wanted(wish):
        if asked == "*":
            break
        for tag in narrowed(asked):
            if tag in known:
                return known[tag]
    return languages.own


def wanted(wish: str) -> Sequence[str]:
    """The tags of an ``Accept-Language`` in lower case, the dearest first; what cannot be read is left out."""
    weighed = [(_weight(params), tag.strip().lower()) for tag, _, params in (p.partition(";") for p in wish.split(","))]
    return [tag for weight, tag in sorted(weighed, key=lambda one: -one[0]) if weight > 0 and tag]


def _weight(params: str) -> float:
    name, _, value = params.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name.strip() == "q" and len(value) <= 5 else 0.0
    except ValueError:
        return 0.0


def narrowed(tag: str) -> Iterator[str]:
    """``zh-Hant-TW``, ``zh-Hant``, ``zh``."""
    while tag:
        yield tag
        tag = tag.rpartition("-")[0]
