"""How the words of a search are read: without accents, as the beginnings of words, and with typing errors corrected."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, cast, literal, text
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncSession

from db.catalog import ListedProduct

MOST_READINGS = 3
"""As how many words of the shop one that it does not have may be read."""


@dataclass(frozen=True, slots=True)
class Understood:
    """The words of a search, each with the words of the shop that it may stand for."""

    words: tuple[tuple[str, ...], ...] = ()
    corrected: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.words)

    @property
    def is_one_word(self) -> bool:
        return len(self.words) == 1 == len(self.words[0])

    def whole(self, document: ColumnElement[Any]) -> ColumnElement[bool]:
        """Has the document all of the words, as they are?"""
        return _has(document, self.words, "")

    def begun(self, document: ColumnElement[Any]) -> ColumnElement[bool]:
        """Has the document all of the words, or words that begin so?"""
        return _has(document, self.words, ":*")

    @property
    def is_found(self) -> ColumnElement[bool]:
        return self.begun(ListedProduct.document.expression)


NOTHING = Understood()


def _has(document: ColumnElement[Any], words: Sequence[Sequence[str]], ending: str) -> ColumnElement[bool]:
    """Words are letters and digits only, so nothing in them needs to be quoted. One letter is a word of its own."""
    terms = (" | ".join(f"'{word}'{ending if len(word) > 1 else ''}" for word in readings) for readings in words)
    return document.op("@@", is_comparison=True)(cast(literal(" & ".join(f"({term})" for term in terms)), TSQUERY))


async def understood(session: AsyncSession, words: Sequence[str]) -> Understood:
    """The words as the shop has them; one that no word of the shop begins with is read as the most similar ones.

    How often a word occurs decides how Postgres best looks for it, so it is to plan each search of this transaction
    for its own words.
    """
    if not words:
        return NOTHING
    rows = (await session.execute(READ_WORDS, {"words": " ".join(words), "most": MOST_READINGS})).all()
    read = {row.word: row.similar for row in rows}
    return Understood(
        words=tuple(tuple(similar or [word]) for word, similar in read.items()),
        corrected={word: similar for word, similar in read.items() if similar},
    )


READ_WORDS = text(
    """
    SELECT word, set_config('plan_cache_mode', 'force_custom_plan', true),
           CASE WHEN length(word) > 2 AND word !~ '[0-9]' AND NOT EXISTS (
                    SELECT FROM search_words AS known
                    WHERE known.word >= asked.word AND known.word < asked.word || chr(1114111) AND documents > 0
                )
                THEN ARRAY(SELECT similar_words(word, :most)) END AS similar
    FROM regexp_split_to_table(plain_text(:words), '[^[:alnum:]]+') WITH ORDINALITY AS asked (word, place)
    WHERE word <> ''
    ORDER BY place
    """
)
