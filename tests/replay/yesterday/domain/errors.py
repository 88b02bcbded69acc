"""Business refusals: the shop says no, and says which rule it was."""

from typing import Any


class Refusal(Exception):
    """A rule of the shop forbids what was asked; asking again unchanged would be refused again.

    ``code`` is stable and documented; clients decide by it. ``facts`` are plain JSON values that help the asker
    to do better: the lines that are short, the new total, the moves that are allowed.
    """

    def __init__(self, code: str, detail: str, **facts: Any) -> None:
        super().__init__(code, detail, facts)
        self.code = code
        self.detail = detail
        self.facts: dict[str, Any] = facts

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
