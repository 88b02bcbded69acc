"""The catalogue as the public sees it: encoded once, kept in memory, and thrown away the moment it changes."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple, TypeVar
from uuid import UUID
from weakref import WeakSet

from litestar.serialization import decode_json, encode_json
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from api.catalog_queries import position_after
from api.catalog_schemas import attributes_json, page_rest_json, product_json, suggestions_json, tree_json
from api.metrics import CATALOG_READS
from db import catalog_attributes, catalog_lists, catalog_suggestions, catalog_views
from db.catalog_attributes import Definitions
from db.catalog_news import EVERYTHING, News
from db.catalog_query import ProductQuery
from db.catalog_views import ProductView
from db.engine import Sessions
from db.replica import AWAY, Replica
from domain.catalog import UUID_FORM
from domain.languages import Languages
from runtime.cache.memory import Flights, Memory
from runtime.cache.shared import JITTER, SharedCache

Result = TypeVar("Result")

UNKNOWN_SECONDS = 30.0
"""How long it is remembered that there is no such product, so that asking for it again and again costs nothing."""
ENTRY_OVERHEAD = 1_300
"""About what an entry takes besides its bytes, measured with a full memory."""


ONE_LANGUAGE = Languages("en")


class Kept:
    """Something that is true until it is told otherwise, or its time is over."""

    __slots__ = ("__weakref__", "_users", "body", "expires_at", "is_fresh")

    def __init__(self, body: bytes, expires_at: float, *, is_fresh: bool) -> None:
        self.body = body
        self.expires_at = expires_at
        self.is_fresh = is_fresh
        self._users: WeakSet[Kept] | None = None

    @property
    def weight(self) -> int:
        return len(self.body) + ENTRY_OVERHEAD

    def is_good(self, now: float) -> bool:
        return self.is_fresh and now < self.expires_at

    def serve(self, user: "Kept") -> None:
        """The user is made of it, and is stale when it is."""
        if self._users is None:
            self._users = WeakSet()
        self._users.add(user)

    def spoil(self) -> None:
        self.is_fresh = False
        for user in self._users or ():
            user.is_fresh = False


class Edition(NamedTuple):
    """In what a product is shown."""

    currency: str
    language: str = ""
    """One of the shop's other languages; empty for its own."""

    @property
    def name(self) -> str:
        return f"{self.currency}.{self.language}" if self.language else self.currency


class KeptProduct(Kept):
    __slots__ = ("language", "product_id", "version")

    def __init__(
        self, body: bytes, expires_at: float, *, is_fresh: bool, product_id: UUID, version: int, language: str
    ) -> None:
        super().__init__(body, expires_at, is_fresh=is_fresh)
        self.product_id = product_id
        self.version = version
        self.language = language
        """Of its texts; empty for the shop's own, also where another one was asked for."""


class KeptAttributes(Kept):
    """All that can be said of products."""

    __slots__ = ("known",)

    def __init__(self, body: bytes, expires_at: float, *, is_fresh: bool, known: Definitions) -> None:
        super().__init__(body, expires_at, is_fresh=is_fresh)
        self.known = known


class Listing(Kept):
    """Which products a page shows, in which order; ``body`` is what comes after them."""

    __slots__ = ("products",)

    def __init__(self, body: bytes, expires_at: float, *, is_fresh: bool, products: tuple[UUID, ...]) -> None:
        super().__init__(body, expires_at, is_fresh=is_fresh)
        self.products = products


@dataclass(slots=True)
class _Watch:
    """What was told to have changed while something was being read."""

    products: set[UUID] = field(default_factory=set)
    everything: bool = False
    listing: bool = False
    is_of_the_replica: bool = False
    """Then ``products`` begins with those of which the replica lacked a change."""

    def has_seen(self, product_id: UUID) -> bool:
        return self.everything or product_id in self.products


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is read: these products, which products there are, or something that is told of with everything."""

    products: Collection[UUID] = ()
    is_listing: bool = False


class CatalogCache:
    """Cache-aside over the catalogue: one's own memory first, then Valkey, then Postgres.

    Nothing is kept in memory while Postgres cannot tell us of changes. What was known before is then still there, and
    is shown, marked as such and as sold out, when Postgres cannot be asked either.
    """

    def __init__(
        self,
        sessions: Sessions,
        shared: SharedCache,
        *,
        replica: Replica | None = None,
        languages: Languages = ONE_LANGUAGE,
        seconds: int,
        most_bytes: int,
    ) -> None:
        self.sessions = sessions
        self.languages = languages
        self._replica = replica
        self._shared = shared
        self._seconds = seconds
        self._products: Memory[tuple[UUID, Edition], KeptProduct] = Memory(most_bytes * 5 // 6, Kept.spoil)
        self._listings: Memory[ProductQuery, Listing] = Memory(most_bytes // 8, Kept.spoil)
        self._suggestions: Memory[tuple[tuple[str, ...], int], Kept] = Memory(most_bytes // 24, Kept.spoil)
        self._trees: dict[str, Kept] = {}
        self._attributes: KeptAttributes | None = None
        self._ids: dict[str, UUID] = {}
        self._unknown: dict[str, float] = {}
        self._editions: set[Edition] = set()
        self._flights: Flights[Any, Any] = Flights()
        self._watches: list[_Watch] = []
        self.is_told = False
        """Does Postgres tell us of every change?"""
        self.heard = 0
        self.has_new_times = asyncio.Event()
        """Something changed that may be the time at which a product appears or disappears."""
        self._chores: set[asyncio.Task[None]] = set()

    # What Postgres tells us.

    async def begin(self) -> None:
        self.has_new_times.set()
        self._shared.doubt()
        self._expect(EVERYTHING)
        self.is_told = True

    def lose(self) -> None:
        self.is_told = False
        self._spoil_everything()

    def hear(self, news: News) -> None:
        """The same as :meth:`forget`, for changes that anybody made."""
        self.heard += 1
        self.forget(news)

    def forget(self, news: News) -> None:
        self._flights.part_with_all()
        self._expect(news)
        if news.is_listing:
            self.has_new_times.set()
        if news.products is None:
            self._spoil_everything()
            self._shared.doubt()
            return
        for watch in self._watches:
            watch.products |= news.products
            watch.listing |= news.is_listing
        for product_id in news.products:
            for edition in self._editions:
                if known := self._products.get((product_id, edition)):
                    known.spoil()
        if news.is_listing:
            self._spoil_listings()
        self._do(self._shared.forget([str(product_id) for product_id in news.products]))

    def _expect(self, news: News) -> None:
        if self._replica is not None:
            self._replica.expect(news)

    def _spoil_everything(self) -> None:
        for watch in self._watches:
            watch.everything = watch.listing = True
        for product in self._products.values():
            product.spoil()
        for kept in (*self._trees.values(), self._attributes):
            if kept is not None:
                kept.spoil()
        self._spoil_listings()

    def _spoil_listings(self) -> None:
        self._unknown.clear()
        for kept in chain(self._listings.values(), self._suggestions.values()):
            kept.spoil()

    def _do(self, chore: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    # What is asked of us.

    def language(self, wish: str) -> str:
        """The best of the shop's languages; empty for its own."""
        language = self.languages.negotiated(wish)
        return "" if language == self.languages.own else language

    async def product(self, id_or_slug: str, currency: str, language: str = "") -> KeptProduct | None:
        """The product that is called so, ``None`` when the public may see none."""
        now, edition = time.monotonic(), Edition(currency, language)
        product_id = UUID(id_or_slug) if UUID_FORM.fullmatch(id_or_slug) else self._ids.get(id_or_slug)
        if product_id is not None:
            known = self._products.get((product_id, edition))
            if known is not None and known.is_good(now):
                return known
        if self._unknown.get(id_or_slug, 0.0) > now:
            return None
        fetched: KeptProduct | None = await self._flights.join(
            ("product", id_or_slug, edition), lambda: self._fetched(id_or_slug, product_id, edition)
        )
        return fetched

    async def _fetched(self, id_or_slug: str, product_id: UUID | None, edition: Edition) -> KeptProduct | None:
        if product_id is not None:
            return (await self._by_ids([product_id], edition, asked=id_or_slug)).get(product_id)
        languages = self.languages.chain(edition.language)
        with self._watching() as watch:
            view = await self._read(
                lambda session: catalog_views.product(
                    session, id_or_slug, currency=edition.currency, languages=languages
                ),
                LISTS,
                watch,
            )
        if view is None:
            self._remember_unknown(id_or_slug, watch)
            return None
        if len(self._ids) > 100_000:
            self._ids.clear()
        self._ids[id_or_slug] = product_id = view.product["id"]
        if watch.is_of_the_replica and watch.has_seen(product_id):
            return (await self._by_ids([product_id], edition)).get(product_id)
        return self._keep(view, edition, watch)

    async def _by_ids(
        self, product_ids: Sequence[UUID], edition: Edition, asked: str | None = None
    ) -> dict[UUID, KeptProduct]:
        languages = self.languages.chain(edition.language)
        with self._watching() as watch:
            names = [str(product_id) for product_id in product_ids]
            shared, leases = await self._shared.get(names, edition.name) if self.is_told else ({}, {})
            found = {
                product_id: self._keep_body(product_id, edition, *_unpacked(shared[str(product_id)]), watch)
                for product_id in product_ids
                if str(product_id) in shared
            }
            missing = [product_id for product_id in product_ids if product_id not in found]
            if missing:
                try:
                    views = await self._read(
                        lambda session: catalog_views.products_by_ids(
                            session, missing, currency=edition.currency, languages=languages
                        ),
                        _Wanted(products=missing),
                        watch,
                    )
                except OUTAGES as error:
                    return found | self._last_known(missing, edition, error)
                for view in views:
                    found[view.product["id"]] = self._keep(view, edition, watch)
                # Other processes may have heard of changes that the replica and we have not heard of yet.
                if not watch.is_of_the_replica:
                    fresh = {str(found[i].product_id): _packed(found[i]) for i in missing if i in found}
                    await self._shared.fill(edition.name, fresh, leases)
        if asked is not None and not found:
            self._remember_unknown(asked, watch)
        return found

    async def page(self, query: ProductQuery) -> tuple[bytes, Sequence[Kept]]:
        """The page as JSON, and what it is made of."""
        now = time.monotonic()
        listing = self._listings.get(query)
        if listing is None or not listing.is_good(now):
            listing = await self._flights.join(query, lambda: self._listed(query))
        products = await self._all_of(listing.products, _edition_of(query))
        return b'{"items":[' + b",".join(part.body for part in products) + listing.body, [listing, *products]

    async def _listed(self, query: ProductQuery) -> Listing:
        try:
            with self._watching() as watch:
                page = await self._read(lambda session: catalog_lists.products(session, query), LISTS, watch)
        except OUTAGES:
            if (last := self._listings.get(query)) is not None:
                return last
            raise
        for view in page.items:
            self._keep(view, _edition_of(query), watch)
        listing = Listing(
            body=b"]," + encode_json(page_rest_json(page, query.currency, position_after(page, query)))[1:],
            expires_at=self._until(),
            is_fresh=self.is_told and not watch.listing,
            products=tuple(view.product["id"] for view in page.items),
        )
        if listing.is_fresh:
            self._listings.put(query, listing)
        return listing

    async def _all_of(self, product_ids: Sequence[UUID], edition: Edition) -> list[KeptProduct]:
        """Those of the products that are still shown, in this order."""
        now = time.monotonic()
        found: dict[UUID, KeptProduct] = {}
        for product_id in product_ids:
            known = self._products.get((product_id, edition))
            if known is not None and known.is_good(now):
                found[product_id] = known
        if missing := tuple(product_id for product_id in product_ids if product_id not in found):
            found |= await self._flights.join((missing, edition), lambda: self._by_ids(missing, edition))
        return [found[product_id] for product_id in product_ids if product_id in found]

    async def suggestions(self, words: tuple[str, ...], limit: int) -> Kept:
        """What somebody who has typed these words may mean, as JSON."""
        known = self._suggestions.get((words, limit))
        if known is not None and known.is_good(time.monotonic()):
            return known
        kept: Kept = await self._flights.join((words, limit), lambda: self._suggested(words, limit))
        return kept

    async def _suggested(self, words: tuple[str, ...], limit: int) -> Kept:
        try:
            with self._watching() as watch:
                found = await self._read(
                    lambda session: catalog_suggestions.suggestions(session, words, limit=limit), LISTS, watch
                )
        except OUTAGES:
            if (last := self._suggestions.get((words, limit))) is not None:
                return last
            raise
        kept = Kept(
            encode_json(suggestions_json(found)),
            self._until(),
            is_fresh=self.is_told and not watch.listing,
        )
        if kept.is_fresh:
            self._suggestions.put((words, limit), kept)
        return kept

    async def tree(self, language: str = "") -> Kept:
        """The tree of categories as JSON."""
        known = self._trees.get(language)
        if known is not None and known.is_good(time.monotonic()):
            return known
        kept: Kept = await self._flights.join(("tree", language), lambda: self._planted(language))
        return kept

    async def _planted(self, language: str) -> Kept:
        languages = self.languages.chain(language)
        try:
            with self._watching() as watch:
                rows = await self._read(lambda session: catalog_views.categories(session, languages), _Wanted(), watch)
        except OUTAGES:
            if language in self._trees:
                return self._trees[language]
            raise
        self._trees[language] = kept = Kept(
            encode_json(tree_json(rows)),
            self._until(),
            is_fresh=self.is_told and not watch.everything,
        )
        return kept

    async def attributes(self) -> KeptAttributes:
        """What can be said of products, as JSON and by its codes."""
        if self._attributes is not None and self._attributes.is_good(time.monotonic()):
            return self._attributes
        kept: KeptAttributes = await self._flights.join("attributes", self._defined)
        return kept

    async def _defined(self) -> KeptAttributes:
        try:
            with self._watching() as watch:
                known = await self._read(catalog_attributes.definitions, _Wanted(), watch)
        except OUTAGES:
            if self._attributes is not None:
                return self._attributes
            raise
        self._attributes = KeptAttributes(
            encode_json(attributes_json(known.values())),
            self._until(),
            is_fresh=self.is_told and not watch.everything,
            known=known,
        )
        return self._attributes

    async def _read(self, query: Callable[[AsyncSession], Awaitable[Result]], wanted: _Wanted, watch: _Watch) -> Result:
        """From the replica if it knows of all changes that we were told of; from Postgres itself if not."""
        replica = self._replica
        if replica is not None and self.is_told and replica.knows(wanted.products, lists=wanted.is_listing):
            watch.products |= replica.lacks
            with suppress(*AWAY):
                found = await replica.read(query)
                watch.is_of_the_replica = True
                CATALOG_READS.labels("replica").inc()
                return found
        CATALOG_READS.labels("primary").inc()
        async with self.sessions() as session:
            return await query(session)

    # How it is kept.

    def _until(self) -> float:
        return time.monotonic() + self._seconds * (1 - JITTER * random.random())  # noqa: S311

    def _keep(self, view: ProductView, edition: Edition, watch: _Watch) -> KeptProduct:
        body = encode_json(product_json(view, edition.currency))
        language = view.text["language"] if view.text else ""
        return self._keep_body(view.product["id"], edition, view.product["version"], language, body, watch)

    def _keep_body(
        self, product_id: UUID, edition: Edition, version: int, language: str, body: bytes, watch: _Watch
    ) -> KeptProduct:
        """What is kept already stays as it is, if it says the same: ready answers are made of it."""
        is_fresh = self.is_told and not watch.has_seen(product_id)
        known = self._products.get((product_id, edition))
        if (
            is_fresh
            and known is not None
            and known.is_good(time.monotonic())
            and (known.version, known.language, known.body) == (version, language, body)
        ):
            return known
        kept = KeptProduct(
            body,
            self._until(),
            is_fresh=is_fresh,
            product_id=product_id,
            version=version,
            language=language,
        )
        if is_fresh:
            self._editions.add(edition)
            self._products.put((product_id, edition), kept)
        return kept

    def _remember_unknown(self, asked: str, watch: _Watch) -> None:
        if self.is_told and not watch.listing and not watch.everything:
            if len(self._unknown) > 100_000:
                self._unknown.clear()
            self._unknown[asked] = time.monotonic() + UNKNOWN_SECONDS

    def _last_known(self, product_ids: Collection[UUID], edition: Edition, error: Exception) -> dict[UUID, KeptProduct]:
        """What was known of the products before Postgres went away: marked, and not to be sold. Or the error."""
        found = {}
        for product_id in product_ids:
            known = self._products.get((product_id, edition))
            if known is None:
                raise error
            found[product_id] = degraded(known)
        return found

    @contextmanager
    def _watching(self) -> Iterator[_Watch]:
        watch = _Watch()
        self._watches.append(watch)
        try:
            yield watch
        finally:
            self._watches.remove(watch)


LISTS = _Wanted(is_listing=True)
OUTAGES = (DBAPIError, PoolTimeout, ConnectionError, OSError)


def degraded(known: KeptProduct) -> KeptProduct:
    """The last known state, saying that it is no more than that. Its price is the last one; nothing is in stock."""
    product = decode_json(known.body)
    product["degraded"] = True
    for sold in (product, *product["variants"]):
        if sold["stock_quantity"] is not None:
            sold["stock_quantity"] = 0
    return KeptProduct(
        body=encode_json(product),
        expires_at=0.0,
        is_fresh=False,
        product_id=known.product_id,
        version=known.version,
        language=known.language,
    )


def _edition_of(query: ProductQuery) -> Edition:
    return Edition(query.currency, query.languages[0] if query.languages else "")


def _packed(product: KeptProduct) -> bytes:
    """The language only where it is not the shop's own, which older processes do not look for."""
    head = f"{product.version} {product.language}" if product.language else str(product.version)
    return b"%b\n%b" % (head.encode(), product.body)


def _unpacked(packed: bytes) -> tuple[int, str, bytes]:
    head, _, body = packed.partition(b"\n")
    version, _, language = head.decode().partition(" ")
    return int(version), language, body
