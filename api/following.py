"""Whoever follows an order here: woken when something happened to it, by whatever process of the shop.

A follower holds neither a connection nor anything that was told: it is woken, reads what is new from behind the last
event that it has seen, and sends that. Those who have seen the same of one order are told by one question.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from uuid import UUID
from weakref import WeakSet

from sqlalchemy import RowMapping

from db import watched_orders
from db.engine import Sessions
from db.waiting import happens
from db.watched_orders import Standing
from domain.errors import Refusal
from runtime.chores import kept_up

LOOK_SECONDS = 5.0
"""How often a process looks how far its orders are, all of them at once, whatever it was told."""
MOST_AT_A_TIME = 100

News = tuple[Standing, Sequence[RowMapping]]


class Follower:
    """Somebody who follows an order, from behind the event with this sequence number."""

    def __init__(self, order_id: UUID, caller: str, after: int) -> None:
        self.order_id = order_id
        self.caller = caller
        self.after = after
        self.woken = asyncio.Event()
        self.has_seen_all = False
        """Nothing more can happen to the order."""

    def look_at(self, standing: Standing) -> None:
        if standing.newest > self.after or standing.is_final:
            self.woken.set()


class Followers:
    """All of this process."""

    def __init__(
        self, sessions: Sessions, *, most_of_caller: int, longest: timedelta, longest_silence: timedelta
    ) -> None:
        self._sessions = sessions
        self._most_of_caller = most_of_caller
        self._longest = longest
        self._longest_silence = longest_silence
        # One whose client went before it could begin is gone with its answer: nobody has to strike it off.
        self._followers: WeakSet[Follower] = WeakSet()
        self._of_orders: dict[UUID, WeakSet[Follower]] = {}
        self._asked: dict[UUID, dict[int, asyncio.Task[News]]] = {}
        self.is_stopping = False

    # What Postgres tells us.

    async def begin(self) -> None:
        """The next look, soon, sees what was missed."""

    def hear(self, order_id: UUID) -> None:
        self._asked.pop(order_id, None)  # what was asked before does not know of it
        for follower in self._of_orders.get(order_id, ()):
            follower.woken.set()

    def lose(self) -> None:
        """The looks go on."""

    # What is asked of us.

    def admit(self, order_id: UUID, caller: str, *, after: int) -> Follower:
        """Refuses ``unavailable`` while the process stops, and ``rate_limited`` to whoever follows too much already."""
        if self.is_stopping:
            raise Refusal("unavailable", "This process stops; ask again.", retry_after=1)
        if sum(follower.caller == caller for follower in self._followers) >= self._most_of_caller:
            raise Refusal("rate_limited", "You follow as many orders as you can at a time.", retry_after=5)
        follower = Follower(order_id, caller, after)
        self._followers.add(follower)
        self._of_orders.setdefault(order_id, WeakSet()).add(follower)
        return follower

    async def told(self, follower: Follower) -> AsyncGenerator[Sequence[RowMapping], None]:
        """What happens to the order, as it happens, until nothing more can; nothing at times, to be heard of."""
        ends_at = asyncio.get_running_loop().time() + self._longest.total_seconds()
        try:
            await self._watch([follower.order_id])
            while not self.is_stopping:
                follower.woken.clear()
                standing, news = await self._news(follower)
                if news:
                    follower.after = news[-1]["sequence"]
                    yield news
                elif standing.is_final:
                    follower.has_seen_all = True
                    return
                elif asyncio.get_running_loop().time() >= ends_at:
                    return
                elif not await happens(follower.woken, within=self._longest_silence.total_seconds()):
                    yield ()
        finally:
            self._followers.discard(follower)
            self._of_orders.get(follower.order_id, WeakSet()).discard(follower)

    def stop(self) -> None:
        """Everybody is sent away, to another process."""
        self.is_stopping = True
        for follower in self._followers:
            follower.woken.set()

    async def keep_looking(self) -> None:
        """Until cancelled."""
        await kept_up(self.look, name="followed orders", pause_seconds=LOOK_SECONDS)

    async def look(self) -> None:
        """Go on watching, and see what was missed."""
        self._of_orders = {order_id: those for order_id, those in self._of_orders.items() if those}
        if orders := list(self._of_orders):
            await self._watch(orders)
            async with self._sessions() as session:
                standings = await watched_orders.standings(session, orders)
            for order_id, standing in standings.items():
                self._asked.pop(order_id, None)
                for follower in self._of_orders.get(order_id, ()):
                    follower.look_at(standing)
        async with self._sessions() as session:
            await watched_orders.forget(session)

    async def _watch(self, orders: Sequence[UUID]) -> None:
        async with self._sessions() as session:
            await watched_orders.watch(session, orders)

    async def _news(self, follower: Follower) -> News:
        """What somebody else asks already is not asked again, however many follow the order."""
        asked = self._asked.setdefault(follower.order_id, {})
        question = asked.get(follower.after)
        if question is None:
            question = asked[follower.after] = asyncio.create_task(self._ask(follower.order_id, follower.after))
            question.add_done_callback(lambda _: self._answered(follower.order_id, question))
        return await asyncio.shield(question)  # others wait for it, too

    async def _ask(self, order_id: UUID, after: int) -> News:
        async with self._sessions() as session:
            return await watched_orders.news(session, order_id, after=after, limit=MOST_AT_A_TIME)

    def _answered(self, order_id: UUID, question: "asyncio.Task[News]") -> None:
        if not question.cancelled():
            question.exception()  # those who wait hear of it, if there are any left
        left = {after: other for after, other in self._asked.get(order_id, {}).items() if other is not question}
        if left:
            self._asked[order_id] = left
        else:
            self._asked.pop(order_id, None)
