"""Have I Been Pwned in small: the passwords that are stolen most, and some that nobody could guess."""

import hashlib
import os
import re
from functools import cache
from pathlib import Path

from sandbox.wire import Answer, Call, problem

LIST = Path(__file__).with_suffix(".txt")
"""From zxcvbn (MIT licence), but for the first three, which are famous."""

PREFIX = re.compile("[0-9A-Fa-f]{5}")
PADDED_TO = 800
"""Lines, so that how long an answer is does not tell which one it is."""


def answer(call: Call) -> Answer:
    prefix = call.path.removeprefix("/range/")
    if not PREFIX.fullmatch(prefix):
        return problem(400, "The hash prefix was not in a valid format")
    lines = [f"{digest[5:]}:{times}" for digest, times in counted().items() if digest.startswith(prefix.upper())]
    if call.headers.get("Add-Padding") == "true":
        made_up = os.urandom(PADDED_TO * 18).hex().upper()
        lines += [f"{made_up[36 * place : 36 * place + 35]}:0" for place in range(PADDED_TO - len(lines))]
    return Answer(200, "\r\n".join(sorted(lines)).encode(), "text/plain")


@cache
def counted() -> dict[str, int]:
    """How often each was stolen, by its hash; the figures are made up, the order is not."""
    words = LIST.read_text().splitlines()
    return {
        hashlib.sha1(word.encode(), usedforsecurity=False).hexdigest().upper(): 1_000_000 // place
        for place, word in enumerate(words, start=1)
    }
