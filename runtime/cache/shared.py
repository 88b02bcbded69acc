"""What the processes share in Valkey. All of it may vanish at any moment, and nobody waits for it long."""

import random
import secrets
from collections.abc import Collection, Mapping
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

log = structlog.get_logger()

JITTER = 0.1
"""Entries that are written together must not expire together: each lives up to this share shorter."""
LEASE_SECONDS = 10

FILL_IF_LEASED = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('DEL', KEYS[2])
return 1
"""

FORGET = """
local epoch = redis.call('GET', KEYS[1]) or '0'
for i = 2, #ARGV do
    redis.call('UNLINK', ARGV[1] .. epoch .. ':' .. ARGV[i], ARGV[1] .. epoch .. ':lease:' .. ARGV[i])
end
return #ARGV
"""
"""Valkey knows which epoch it is; this process may not have heard yet that another one began a new one."""


class SharedCache:
    """Entries of several fields each (``USD``, ``EUR``), filled under a lease so that nothing stale can stay behind.

    Who wants to fill an entry takes the lease *before* reading the truth. Forgetting an entry deletes the lease, too,
    so what was read before a change can no longer be written after it. Entries of a former epoch are never read again:
    a new one begins whenever somebody may have missed a change.
    """

    def __init__(self, redis: Redis, *, prefix: str, seconds: int) -> None:
        self._redis = redis
        self._prefix = prefix
        self._seconds = seconds
        self._epoch = b"0"
        self._is_doubtful = True
        self._being_forgotten: dict[str, int] = {}

    def doubt(self) -> None:
        """A change may have been missed; a new epoch begins before anything is read again."""
        self._is_doubtful = True

    async def get(self, names: Collection[str], field: str) -> tuple[dict[str, bytes], dict[str, str]]:
        """The entries that are there, and leases to fill the others."""
        wanted = [name for name in names if name not in self._being_forgotten]
        if not wanted or not await self._is_usable():
            return {}, {}
        pipeline = self._pipeline()
        pipeline.get(f"{self._prefix}epoch")
        for name in wanted:
            pipeline.hget(self._key(name), field)
        answers = await self._executed(pipeline)
        if answers is None:
            return {}, {}
        epoch, *bodies = answers
        if epoch != self._epoch:
            self._epoch = epoch or b"0"
            bodies = [None] * len(wanted)
        found = {name: body for name, body in zip(wanted, bodies, strict=True) if body is not None}
        return found, await self._leases([name for name in wanted if name not in found])

    async def _leases(self, names: Collection[str]) -> dict[str, str]:
        tokens = {name: secrets.token_hex(8) for name in names}
        pipeline = self._pipeline()
        for name, token in tokens.items():
            pipeline.set(self._lease_key(name), token, ex=LEASE_SECONDS)
        return tokens if tokens and await self._executed(pipeline) is not None else {}

    async def fill(self, field: str, bodies: Mapping[str, bytes], leases: Mapping[str, str]) -> None:
        """Keep what was read under these leases; what was forgotten meanwhile is not kept."""
        pipeline = self._pipeline()
        for name, body in bodies.items():
            if name in leases:
                milliseconds = int(self._seconds * 1000 * (1 - JITTER * random.random()))  # noqa: S311
                keys = self._key(name), self._lease_key(name)
                pipeline.eval(FILL_IF_LEASED, 2, *keys, leases[name], field, body, milliseconds)
        if len(pipeline):
            await self._executed(pipeline)

    async def forget(self, names: Collection[str]) -> None:
        """Throw the entries away; until that has happened this process does not read them."""
        for name in names:
            self._being_forgotten[name] = self._being_forgotten.get(name, 0) + 1
        try:
            pipeline = self._pipeline()
            pipeline.eval(FORGET, 1, f"{self._prefix}epoch", self._prefix, *names)
            if await self._executed(pipeline) is None:
                self.doubt()
        finally:
            for name in names:
                self._being_forgotten[name] -= 1
                if not self._being_forgotten[name]:
                    del self._being_forgotten[name]

    async def _is_usable(self) -> bool:
        if self._is_doubtful:
            self._is_doubtful = False  # first: what is missed from here on makes it doubtful again
            pipeline = self._pipeline()
            pipeline.incr(f"{self._prefix}epoch")
            begun = await self._executed(pipeline)
            if begun is None:
                self._is_doubtful = True
                return False
            self._epoch = str(begun[0]).encode()
        return True

    def _pipeline(self) -> Pipeline:
        return self._redis.pipeline(transaction=False)

    async def _executed(self, pipeline: Pipeline) -> list[Any] | None:
        try:
            answers: list[Any] = await pipeline.execute()
            return answers
        except RedisError as error:
            log.warning("cache_unreachable", error=type(error).__name__)
            return None

    def _key(self, name: str) -> str:
        return f"{self._prefix}{self._epoch.decode()}:{name}"

    def _lease_key(self, name: str) -> str:
        return f"{self._prefix}{self._epoch.decode()}:lease:{name}"
