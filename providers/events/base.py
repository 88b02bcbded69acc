"""Where events go, and who reads them there."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"


@dataclass(frozen=True, kw_only=True)
class Message:
    """An event as it travels."""

    position: int
    key: str
    body: bytes
    """The CloudEvent as JSON, the same each time it is sent."""
    at_ms: int


class StreamAway(Exception):
    """The stream has not said that it keeps the events; they are sent again, under their old ids."""


class EventStream(Protocol):
    async def send(self, messages: Sequence[Message]) -> None:
        """Returns when the stream keeps all of them, those of each key in their order; else ``StreamAway``."""

    def read(self, begin: str) -> AsyncIterator[dict[str, Any]]:
        """All CloudEvents from there on, for ever: ``beginning``, ``now``, or a point that the stream knows.

        Raises ``ValueError`` for one that it does not know.
        """

    async def aclose(self) -> None: ...
