"""What one process keeps in its own memory, bounded by a number of bytes."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, Protocol, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Weighed(Protocol):
    @property
    def weight(self) -> int: ...


Entry = TypeVar("Entry", bound=Weighed)
Result = TypeVar("Result")


class Memory(Generic[Key, Entry]):
    """The entries that were used last, up to ``most_bytes`` in all.

    ``let_go`` is called with each entry that makes room for another: whoever still holds it is not told of changes.
    """

    def __init__(self, most_bytes: int, let_go: Callable[[Entry], None] | None = None) -> None:
        self._let_go = let_go
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._most_bytes = most_bytes
        self.weight = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def values(self) -> Iterable[Entry]:
        return self._entries.values()

    def put(self, key: Key, entry: Entry) -> None:
        self.drop(key)
        self._entries[key] = entry
        self.weight += entry.weight
        while self.weight > self._most_bytes:
            self.drop(next(iter(self._entries)))

    def drop(self, key: Key) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self.weight -= entry.weight
            if self._let_go is not None:
                self._let_go(entry)

    def clear(self) -> None:
        self._entries.clear()
        self.weight = 0


class Flights(Generic[Key, Result]):
    """However many ask for a thing at once, it is fetched once; the others wait for the one that fetches."""

    def __init__(self) -> None:
        self._flying: dict[Key, asyncio.Future[Result]] = {}

    async def join(self, key: Key, fetch: Callable[[], Awaitable[Result]]) -> Result:
        flight = self._flying.get(key)
        if flight is None:
            flight = self._flying[key] = asyncio.ensure_future(fetch())
            flight.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    def _land(self, key: Key, flight: asyncio.Future[Result]) -> None:
        if self._flying.get(key) is flight:
            del self._flying[key]
        if not flight.cancelled():
            flight.exception()  # those who waited got it; when nobody is left, it is nobody's

    def part_with(self, key: Key) -> None:
        """Who asks from now on does not get what is being fetched."""
        self._flying.pop(key, None)

    def part_with_all(self) -> None:
        self._flying.clear()
