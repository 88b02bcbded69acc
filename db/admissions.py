"""The admission gate: who asks for a hot variant of which no unit is free hears so at once, from Valkey alone.

The gate knows for each hot variant how many units are free, and takes from them on admission. It decides nothing for
good: Postgres does that at the row of the stock. So a gate that is wrong, empty or away never oversells, and as all
it knows is counted anew from the tables all the time, it does not keep units back either.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from pydantic import TypeAdapter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db import hot_variants
from db.catalog_news import News
from db.checkouts import Wish
from db.engine import Sessions
from db.hot_variants import Count
from db.inventory import Demand
from db.waiting import happens
from domain.inventory import Shortage

log = structlog.get_logger()

COUNT_SECONDS = 1.0
"""How often the gate is counted anew when nothing happens; so long it is wrong at most."""
IDLE_SECONDS = 30.0
"""The same while nothing is hot: Postgres tells what becomes so, and this only makes sure."""
RUSH_SECONDS = 10.0
"""In such a time so many refusals make a variant hot."""
HOT_SECONDS = 60
"""How long after its last rush a variant stays hot."""
BRIDGE_SECONDS = 10
"""An admitted checkout stands in Postgres by then, which counts it from there on; it may wait for a connection."""
STALE_SECONDS = 5
"""A gate that nobody has counted for so long is open."""
REFUSAL_SECONDS = 60
"""How long a key that was turned away gets the same answer."""

SHORTAGES = TypeAdapter(list[Shortage])

ADMIT = """
local told = redis.call('GET', KEYS[1])
if told then return {1, told} end
local cart, order, demands = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local short, taken = {}, {}
for i, demand in ipairs(demands) do
    local gate = KEYS[i + 1]
    local free = tonumber(redis.call('HGET', gate, 'free'))
    if free and redis.call('HEXISTS', gate, cart) == 0 then
        table.insert(taken, i)
        if free < demand.requested then
            demand.available = math.max(free, 0)
            table.insert(short, demand)
        end
    end
end
if #short > 0 then
    told = cjson.encode(short)
    redis.call('SET', KEYS[1], told, 'EX', ARGV[5])
    return {0, told}
end
local bridged = redis.call('TIME')[1] + ARGV[4]
for _, i in ipairs(taken) do
    redis.call('HINCRBY', KEYS[i + 1], 'free', -demands[i].requested)
    redis.call('HSET', KEYS[i + 1], cart, order .. ' ' .. demands[i].requested .. ' ' .. bridged)
end
return {0, '[]'}
"""
"""A cart that was admitted a moment ago is admitted again and takes nothing: it has one checkout, whoever asks."""

SET_RIGHT = """
local counted, taken_in = cjson.decode(ARGV[1]), {}
for _, order in ipairs(cjson.decode(ARGV[2])) do taken_in[order] = true end
local now, changes = tonumber(redis.call('TIME')[1]), {}
for i, gate in ipairs(KEYS) do
    local free, before = counted[i], tonumber(redis.call('HGET', gate, 'free'))
    local fields = redis.call('HGETALL', gate)
    for f = 1, #fields, 2 do
        local order, units, bridged = string.match(fields[f + 1], '(%S+) (%S+) (%S+)')
        if order and tonumber(bridged) < now then
            redis.call('HDEL', gate, fields[f])
        elseif order and not taken_in[order] then
            free = free - units
        end
    end
    redis.call('HSET', gate, 'free', free)
    redis.call('EXPIRE', gate, ARGV[3])
    changes[i] = before and free - before or 0
end
return changes
"""
"""An admission is counted once: by Postgres, if its checkout was there when Postgres counted, and here if not."""


@dataclass(frozen=True, kw_only=True)
class TurnedAway:
    shortages: list[Shortage]
    is_repeat: bool
    """The same request was turned away a moment ago, and this is the same answer."""


class AdmissionGate:
    """One gate for all processes. Without Valkey there is none, and Postgres refuses as it always does."""

    def __init__(self, redis: Redis, sessions: Sessions, *, prefix: str, rush: int) -> None:
        self._redis = redis
        self._sessions = sessions
        self._prefix = f"{prefix}admissions:"
        self._rush = rush
        self._admit = redis.register_script(ADMIT)
        self._set_right = redis.register_script(SET_RIGHT)
        self._hot: frozenset[UUID] = frozenset()
        self._products: frozenset[UUID] = frozenset()
        self._refusals, self._refusals_before = Counter[UUID](), Counter[UUID]()
        self._rush_ends_at = 0.0
        self._has_news = asyncio.Event()
        self._has_news.set()
        self._is_told = False
        self._is_sure = False
        """Did the last look succeed?"""

    @property
    def is_idle(self) -> bool:
        """Nothing is hot, and Postgres would tell of what becomes so."""
        return self._is_told and self._is_sure and not self._hot

    @property
    def hot(self) -> frozenset[UUID]:
        """The variants that pass the gate, as this process knows them."""
        return self._hot

    # What checkouts ask.

    async def turns_away(self, wish: Wish, order_id: UUID, demands: Sequence[Demand]) -> TurnedAway | None:
        """Admit the order with all of its hot units, or none of them; one round trip, and none for what is not hot."""
        hot = [demand for demand in demands if demand.variant_id in self._hot]
        if not hot:
            return None
        asked = [{"variant_id": str(d.variant_id), "sku": d.sku, "requested": d.quantity} for d in hot]
        try:
            is_repeat, told = await self._admit(
                keys=[self._refusal_key(wish), *(self._key(demand.variant_id) for demand in hot)],
                args=[str(wish.cart_id), str(order_id), json.dumps(asked), BRIDGE_SECONDS, REFUSAL_SECONDS],
            )
        except RedisError as error:
            self._open(error)
            return None
        if told == b"[]":
            return None
        shortages = SHORTAGES.validate_json(told)
        self.refused(shortage.variant_id for shortage in shortages)
        return TurnedAway(shortages=shortages, is_repeat=bool(is_repeat))

    def refused(self, variants: Iterable[UUID]) -> None:
        """A customer could not have these; many such customers within a short time make a variant hot."""
        self._forget_old_refusals()
        for variant_id in variants:
            self._refusals[variant_id] += 1
            if self._refused(variant_id) == self._rush and variant_id not in self._hot:
                self._has_news.set()

    def _refused(self, variant_id: UUID) -> int:
        return self._refusals[variant_id] + self._refusals_before[variant_id]

    def _forget_old_refusals(self) -> None:
        """Those of the time before still count, or a rush would be missed that began at the end of it."""
        now = asyncio.get_running_loop().time()
        if now > self._rush_ends_at:
            was_just_now = now <= self._rush_ends_at + RUSH_SECONDS
            self._refusals_before = self._refusals if was_just_now else Counter()
            self._refusals = Counter()
            self._rush_ends_at = now + RUSH_SECONDS

    # What Postgres tells us.

    async def begin(self) -> None:
        self._is_told = True
        self._has_news.set()

    def hear(self, news: News) -> None:
        """A variant that staff marks tells as one that is listed in another way."""
        if news.products is None or news.is_listing or not self._products.isdisjoint(news.products):
            self._has_news.set()

    def lose(self) -> None:
        """Without news the gate is counted by the clock."""
        self._is_told = False
        self._has_news.set()

    # What keeps the gate right.

    async def until_news(self) -> None:
        """Until something happened that the gate should know of, and not longer than it may be wrong."""
        await happens(self._has_news, within=IDLE_SECONDS if self.is_idle else COUNT_SECONDS)
        self._has_news.clear()

    async def set_right(self) -> dict[UUID, int]:
        """Have the gate say what the tables say; by how many units that changed what it said of each variant."""
        self._is_sure = False
        try:
            count = await self._counted()
            changes = await self._told(count) if count.units else []
        except RedisError as error:
            self._open(error)
            return {}
        self._is_sure = True
        self._hot = frozenset(units.variant_id for units in count.units)
        self._products = frozenset(units.product_id for units in count.units)
        return {units.variant_id: change for units, change in zip(count.units, changes, strict=True)}

    async def free(self) -> dict[UUID, int]:
        """How many units of each hot variant it would still admit; what is missing has no gate."""
        hot = list(self._hot)
        pipeline = self._redis.pipeline(transaction=False)
        for variant_id in hot:
            pipeline.hget(self._key(variant_id), "free")
        try:
            known = await pipeline.execute()
        except RedisError as error:
            self._open(error)
            return {}
        return {variant_id: int(free) for variant_id, free in zip(hot, known, strict=True) if free is not None}

    async def _counted(self) -> Count:
        found = await self._found_hot()
        async with self._sessions() as session:
            if not self._rushed() <= self._hot:
                await hot_variants.tell(session)
            hot = found | set(await hot_variants.marked(session))
            return await hot_variants.count(session, hot) if hot else Count(units=[], taken_in=[])

    async def _found_hot(self) -> set[UUID]:
        """Those that any process found hot; this one tells which it did."""
        self._forget_old_refusals()
        now = time.time()
        rushed = {str(variant): now + HOT_SECONDS for variant in self._rushed()}
        pipeline = self._redis.pipeline(transaction=False)
        if rushed:
            pipeline.zadd(f"{self._prefix}hot", rushed)
        pipeline.zremrangebyscore(f"{self._prefix}hot", 0, now)
        pipeline.zrange(f"{self._prefix}hot", 0, -1)
        found = (await pipeline.execute())[-1]
        return {UUID(variant.decode()) for variant in found}

    def _rushed(self) -> set[UUID]:
        known = self._refusals.keys() | self._refusals_before.keys()
        return {variant_id for variant_id in known if self._refused(variant_id) >= self._rush}

    async def _told(self, count: Count) -> list[int]:
        changes: list[int] = await self._set_right(
            keys=[self._key(units.variant_id) for units in count.units],
            args=[
                json.dumps([units.free for units in count.units]),
                json.dumps([str(order_id) for order_id in count.taken_in]),
                STALE_SECONDS,
            ],
        )
        return changes

    def _open(self, error: RedisError) -> None:
        log.warning("admission_gate_open", error=type(error).__name__)
        self._hot = frozenset()

    def _key(self, variant_id: UUID) -> str:
        return f"{self._prefix}{variant_id}"

    def _refusal_key(self, wish: Wish) -> str:
        request = hashlib.sha256(wish.request_hash + wish.idempotency_key.encode())
        return f"{self._prefix}refused:{request.hexdigest()[:32]}"
