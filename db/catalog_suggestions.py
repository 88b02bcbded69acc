"""What somebody who types may mean: words, brands and products that begin so. A handful of looks into indexes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import RowMapping, literal, literal_column, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from db.catalog import ListedProduct, Product
from db.catalog_query import Statement, is_published
from db.catalog_words import Understood, understood

SHORTEST_FOR_PRODUCTS = 2
"""One letter is the beginning of too much to name products."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestions:
    words: list[str] = field(default_factory=list)
    brands: list[str] = field(default_factory=list)
    products: Sequence[RowMapping] = ()


async def suggestions(session: AsyncSession, words: Sequence[str], *, limit: int) -> Suggestions:
    """Half of them ways to go on with the last word, a quarter brands, products for the rest; the most usual first."""
    read = await understood(session, words)
    if not read:
        return Suggestions()
    completed = await _completed(session, read, limit // 2)
    begun = " ".join(readings[0] for readings in read.words)
    brands = list(await session.scalars(BRANDS, {"begun": begun, "most": limit // 4}))
    is_long = len(read.words[-1][0]) >= SHORTEST_FOR_PRODUCTS
    products = await _products(session, read, limit - len(completed) - len(brands)) if is_long else ()
    return Suggestions(words=completed, brands=brands, products=products)


async def _completed(session: AsyncSession, read: Understood, most: int) -> list[str]:
    """The words before the last one as they are, and for the last one those of the shop that occur with them."""
    *before, last = read.words
    words = list(await session.scalars(WORDS, {"last": list(last), "most": 2 * most if before else most}))
    if before and words:
        words = list(await session.scalars(_occurring_with(before, words)))[:most]
    return [" ".join([*(readings[0] for readings in before), word]) for word in words]


def _occurring_with(before: Sequence[tuple[str, ...]], words: Sequence[str]) -> Statement:
    """Those of the words that a title has together with the words before, in their order."""
    title = ListedProduct.title.expression
    first_hits = (
        select(literal(word).label("word"), literal(place).label("place"))
        .where(Understood(words=(*before, (word,))).whole(title))
        .order_by(ListedProduct.name_words + literal_column("0"))  # hits are few, and collected by the words' index
        .limit(1)
        .subquery()
        for place, word in enumerate(words)
    )
    found = union_all(*(select(hit) for hit in first_hits)).subquery("found")
    return select(found.c.word).order_by(found.c.place)


async def _products(session: AsyncSession, read: Understood, most: int) -> Sequence[RowMapping]:
    """Products with the words in their name or brand; the shortest names first, as in a search."""
    hits = (
        select(ListedProduct.product_id, ListedProduct.name, ListedProduct.name_words)
        .where(read.begun(ListedProduct.title.expression), is_published())
        .order_by(ListedProduct.name_words, ListedProduct.product_id.desc())
        .limit(most)
        .subquery("hits")
    )
    shown = select(Product.id, Product.slug, Product.name).join(hits, hits.c.product_id == Product.id)
    ordered = shown.order_by(hits.c.name_words, hits.c.product_id.desc())
    return (await session.execute(ordered)).mappings().all()


WORDS = text(
    """
    SELECT word
    FROM unnest(CAST(:last AS text[])) AS begun
    JOIN search_words ON word >= begun COLLATE "C" AND word < begun || chr(1114111) COLLATE "C"
    WHERE titles > 0
    GROUP BY word
    ORDER BY titles DESC, word
    LIMIT :most
    """
)

BRANDS = text(
    """
    SELECT brand FROM search_brands
    WHERE plain >= :begun AND plain < :begun || chr(1114111) AND products > 0
    ORDER BY products DESC, brand
    LIMIT :most
    """
)
