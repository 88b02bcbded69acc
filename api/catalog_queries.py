"""What a list of products can be asked for, and how it becomes a query."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from litestar.datastructures import MultiDict
from litestar.params import Parameter

from api.paging import decode_cursor, encode_cursor
from api.schemas import CurrencyCode
from db.catalog_attributes import Definitions, labels
from db.catalog_lists import ProductPage
from db.catalog_query import ATTRIBUTE, Facet, ProductQuery, Sort, position_from
from domain.catalog import parse_price, search_words
from domain.catalog_attributes import tag_of
from domain.catalog_files import why_not_storable
from domain.errors import Refusal, unacceptable
from domain.money import minor_digits
from runtime.resources import Resources

Word = Annotated[str | None, Parameter(max_length=200, default=None)]
PriceBound = Annotated[
    str | None, Parameter(max_length=32, default=None, description="A decimal string, in the currency of the list")
]
InStock = Annotated[
    bool | None, Parameter(default=None, description="`true`: can be sold now; `false`: sold out or all reserved")
]
SortOrder = Annotated[
    Sort | None, Parameter(default=None, description="By default `relevance` with `q` and `newest` without")
]
Facets = Annotated[
    str | None,
    Parameter(
        max_length=100, default=None, description="Some of `category`, `brand`, `price`, `tag` and `attribute.<code>`"
    ),
]
Tags = Annotated[
    list[str] | None,
    Parameter(query="tag", default=None, max_items=10, description="Only products with all of these tags"),
]
Currency = Annotated[
    CurrencyCode | None, Parameter(query="currency", default=None, description="ISO 4217; the shop's own by default")
]


def checked_currency(asked: str | None, resources: Resources) -> str:
    currency = asked or resources.settings.shop.currency
    try:
        minor_digits(currency)
    except ValueError as error:
        raise unacceptable("/currency", str(error)) from None
    return currency


def product_query(
    *,
    currency: str,
    limit: int,
    cursor: str | None,
    q: str | None,
    category: str | None,
    brand: str | None,
    min_price: str | None,
    max_price: str | None,
    in_stock: bool | None,
    sort: Sort | None,
    facets: str | None,
    tags: Sequence[str],
    attributes: Mapping[str, Sequence[str]],
    known: Definitions,
    languages: tuple[str, ...] = (),
) -> ProductQuery:
    """The query; refuses what cannot be asked (``validation_failed``) and forged cursors (``malformed_request``)."""
    words = tuple(search_words(q or ""))
    order = (sort or Sort.RELEVANCE) if words else _without_relevance(sort)
    return ProductQuery(
        currency=currency,
        limit=limit,
        sort=order,
        after=_position(cursor, order),
        words=words,
        category=storable("/category", category),
        brand=storable("/brand", brand),
        min_price=_bound("/min_price", min_price, currency),
        max_price=_bound("/max_price", max_price, currency),
        in_stock=in_stock,
        tags=_tags(tags),
        attributes=tuple((code, labels(known, code, attributes[code])) for code in sorted(attributes)),
        facets=_facets(facets, known),
        languages=languages,
    )


def position_after(page: ProductPage, query: ProductQuery) -> str | None:
    """The cursor of the next page. It names its order, because it would mean nothing in another."""
    return None if page.next_position is None else encode_cursor([query.sort, *page.next_position])


def _without_relevance(sort: Sort | None) -> Sort:
    return Sort.NEWEST if sort in (None, Sort.RELEVANCE) else sort


def _position(cursor: str | None, order: Sort) -> tuple[Any, Any] | None:
    position = decode_cursor(cursor, 3)
    if position is None:
        return None
    try:
        if position[0] == order:
            return position_from(order, position[1:])
    except ValueError:
        pass
    raise Refusal("malformed_request", "This cursor was not made by this list in this order.")


def storable(pointer: str, text: str | None) -> str | None:
    if text is not None and (reason := why_not_storable(text)):
        raise unacceptable(pointer, reason)
    return text


def _bound(pointer: str, text: str | None, currency: str) -> int | None:
    if text is None:
        return None
    try:
        return parse_price(text, currency).minor
    except ValueError as error:
        raise unacceptable(pointer, str(error)) from None


def _tags(given: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted({tag_of(tag) for tag in given}))
    except ValueError as error:
        raise unacceptable("/tag", str(error)) from None


def _facets(text: str | None, known: Definitions) -> tuple[str, ...]:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    there_are = [*Facet, *(ATTRIBUTE + code for code in known)]
    if unknown := [name for name in names if name not in there_are]:
        raise unacceptable("/facets", f"There is no facet {unknown[0]}; there are {', '.join(there_are)}.")
    return tuple(dict.fromkeys(names))


def attributes_asked(params: MultiDict[Any]) -> dict[str, list[str]]:
    """The values of ``attribute.<code>`` in a query string, by their codes."""
    asked = [name for name in params if name.startswith(ATTRIBUTE)]
    return {name.removeprefix(ATTRIBUTE): [str(value) for value in params.getall(name)] for name in asked}
