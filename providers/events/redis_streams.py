"""Events as a stream of Redis or Valkey; the ids of its entries are the events' positions."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from providers.events.base import Message, StreamAway

AT_ONCE = 100
SILENCE_MS = 1000


class RedisStream:
    """Redis refuses an entry that is not behind all others: what is sent again is there once, and in its place."""

    def __init__(self, url: str, *, name: str, max_length: int) -> None:
        self._redis = Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=5.0)
        self._name = name
        self._max_length = max_length

    async def send(self, messages: Sequence[Message]) -> None:
        try:
            # One transaction: without it an entry that found no memory could be passed over by the one behind it.
            async with self._redis.pipeline(transaction=True) as together:
                for message in messages:
                    together.xadd(
                        self._name,
                        {"key": message.key, "event": message.body},
                        id=f"{message.position}-0",
                        maxlen=self._max_length,
                        approximate=True,
                    )
                answers = await together.execute(raise_on_error=False)
            for message, answer in zip(messages, answers, strict=True):
                if isinstance(answer, ResponseError):
                    await self._check_is_there(message, answer)
        except (RedisError, OSError) as error:
            raise StreamAway(f"Redis: {type(error).__name__}: {error}") from error

    async def _check_is_there(self, message: Message, refusal: ResponseError) -> None:
        place = f"{message.position}-0"
        there: Any = await self._redis.xrange(self._name, place, place)  # typed for all protocols at once
        for _, entry in there:
            if entry[b"event"] == message.body:
                return
        raise StreamAway(
            f"The stream {self._name} holds something else at {place}, or is ahead of it: it is another shop's, or "
            f"older than a restored database. Name another stream. ({refusal})"
        )

    async def read(self, begin: str) -> AsyncIterator[dict[str, Any]]:
        try:
            last = await self._place(begin)
            while True:
                found: Any = await self._redis.xread({self._name: last}, count=AT_ONCE, block=SILENCE_MS)
                for _, entries in found:
                    for place, entry in entries:
                        last = place
                        yield json.loads(entry[b"event"])
        except (RedisError, OSError) as error:
            raise StreamAway(f"Redis: {type(error).__name__}: {error}") from error

    async def _place(self, begin: str) -> bytes | str:
        match begin:
            case "beginning":
                return "0-0"
            case "now":  # the newest by its name: what comes between two questions is not missed
                newest: Any = await self._redis.xrevrange(self._name, count=1)
                return newest[0][0] if newest else "0-0"
            case number if number.isdecimal():
                return f"{number}-0"
        raise ValueError(f"{begin!r} is neither `beginning`, nor `now`, nor the number of an entry of the stream")

    async def aclose(self) -> None:
        await self._redis.aclose()
