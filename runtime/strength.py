"""How hard a password is to guess for somebody who knows the lists of stolen ones, and whose it is."""

from collections.abc import Sequence

from zxcvbn_rs_py import Warning as Weakness
from zxcvbn_rs_py import zxcvbn

FEWEST_GUESSES_LOG10 = 8.0
"""What zxcvbn calls safely unguessable: a hundred million tries of somebody who tries the likeliest first."""

LOOKED_AT = 32
"""Characters. The work grows faster than the length, and holds the interpreter's lock meanwhile; what is hard to guess
so far is not easier as a whole."""

STOLEN = (
    Weakness.ThisIsATop10Password,
    Weakness.ThisIsATop100Password,
    Weakness.ThisIsACommonPassword,
    Weakness.ThisIsSimilarToACommonlyUsedPassword,
)

CLOSE_TO_ONE = "This password is on the lists of stolen passwords that are tried first, or close to one that is."
ON_A_LIST = "This password was stolen somewhere and is on the lists that are tried. Choose another one."


def why_weak(password: str, known: Sequence[str] = ()) -> str | None:
    """A sentence for whoever chose it, or ``None`` for a good one. ``known`` is what anybody knows of this person."""
    words = [part for word in known for part in (word, *word.split("@"))]
    found = zxcvbn(password[:LOOKED_AT], words)
    if found.guesses_log10 >= FEWEST_GUESSES_LOG10:
        return None
    warning = found.feedback.warning if found.feedback else None
    if any(warning == stolen for stolen in STOLEN):
        return CLOSE_TO_ONE
    why = f" {warning}" if warning else ""
    return f"This password is too easy to guess.{why} Add another word or two."
