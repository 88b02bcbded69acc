"""JSON lines: one product a line, in the shape of ``POST /v1/products``, with a ``category`` path instead of an id.

    {"name": "Mug", "category": "Kitchen > Cups", "sku": "MUG-1", "price": "7.50", "stock_quantity": 12}
    {"slug": "tee", "name": "T-shirt", "brand": "Acme", "category": ["Clothing", "Shirts"], "tags": ["sale"],
     "attributes": {"colour": "red"}, "published_from": "2026-12-01T08:00:00Z", "variants": [
        {"sku": "TEE-S", "price": {"amount": "19.00", "currency": "USD"}, "options": {"size": "S"}}]}

Only ``name`` and a price are needed. A product is known again by its ``slug``, which is made from its name when it is
not given; a variant by its ``sku``. A price is a string in the import's currency, or an amount with its currency;
``prices`` is a list of amounts in several currencies, beside ``price`` or instead of it.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from domain.catalog import (
    MOST_CURRENCIES,
    MOST_VARIANTS,
    ProductRecord,
    RowError,
    VariantRecord,
    derived_sku,
    parse_price,
    slug_of,
)
from domain.catalog_attributes import MOST_ATTRIBUTES_OF_A_PRODUCT, MOST_TAGS, tag_of
from domain.catalog_files import (
    BadCell,
    Entry,
    NumberedLine,
    Reading,
    category_path,
    checked_brand,
    checked_category,
    checked_description,
    checked_name,
    checked_sku,
    checked_slug,
    checked_stock,
    checked_weight,
    decoded,
    not_seen_before,
    why_not_storable,
)
from domain.money import Money

OF_A_PRODUCT = frozenset(
    {
        *("slug", "name", "description", "brand", "category", "is_active"),
        *("tags", "attributes", "published_from", "published_until"),
    }
)
OF_A_VARIANT = frozenset({"sku", "name", "price", "prices", "stock_quantity", "options", "weight_grams"})
OF_A_SINGLE_VARIANT = OF_A_VARIANT - {"name"}


def read(lines: Iterable[bytes], reading: Reading, currency: str) -> Iterator[ProductRecord | RowError]:
    """The products of the file and what is wrong with its rows, in the order of the file."""
    for entry in entries(enumerate(lines, start=1), reading, currency):
        yield from entry.records


def entries(lines: Iterable[NumberedLine], reading: Reading, currency: str) -> Iterator[Entry]:
    """The same, line by line."""
    try:
        for text in decoded(lines, reading):
            if not text.strip():
                continue
            reading.rows += 1
            line = reading.last_line
            yield Entry(line, [(line, line)], [_record(line, text, reading, currency)])
    except BadCell as bad:
        reading.is_given_up = True
        yield Entry(reading.last_line, records=[bad.at(reading.last_line)])


def _record(line: int, text: str, reading: Reading, currency: str) -> ProductRecord | RowError:
    try:
        return _product(line, _parsed(text), reading, currency)
    except BadCell as bad:
        return bad.at(line)


def _parsed(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadCell("", f"is not valid JSON: {error}"[:200]) from None
    if not isinstance(parsed, dict):
        raise BadCell("", "is not a JSON object")
    return parsed


def _product(line: int, given: dict[str, Any], reading: Reading, currency: str) -> ProductRecord:
    has_variants = "variants" in given
    _refuse_unknown("", given, OF_A_PRODUCT | ({"variants"} if has_variants else OF_A_SINGLE_VARIANT))
    name = checked_name("/name", _text("", given, "name") or "")
    slug = checked_slug("/slug", _text("", given, "slug") or slug_of(name))
    product = ProductRecord(
        line=line,
        slug=slug,
        name=name,
        description=checked_description("/description", _text("", given, "description")),
        brand=checked_brand("/brand", _text("", given, "brand")),
        category=_category(given.get("category")),
        is_active=_flag(given, "is_active"),
        tags=_tags(given.get("tags")),
        attributes=_attributes(given.get("attributes")),
        **_times(given),
        variants=[_variant(line, where, variant, slug, currency) for where, variant in _variants(given, has_variants)],
    )
    not_seen_before("/slug", "slug", slug, line, reading.slugs)
    _refuse_repeated_skus(product, reading)
    return product


def _variants(given: dict[str, Any], has_variants: bool) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: FBT001
    if not has_variants:
        yield "", {key: value for key, value in given.items() if key in OF_A_SINGLE_VARIANT}
        return
    variants = given["variants"]
    if not isinstance(variants, list) or not 1 <= len(variants) <= MOST_VARIANTS:
        raise BadCell("/variants", f"must be a list of 1 to {MOST_VARIANTS} variants")
    for number, variant in enumerate(variants):
        if not isinstance(variant, dict):
            raise BadCell(f"/variants/{number}", "is not a JSON object")
        yield f"/variants/{number}", variant


def _variant(line: int, where: str, given: dict[str, Any], slug: str, currency: str) -> VariantRecord:
    _refuse_unknown(where, given, OF_A_VARIANT)
    options = _options(f"{where}/options", given.get("options"))
    sku = checked_sku(f"{where}/sku", _text(where, given, "sku") or "") or derived_sku(slug, (options or {}).values())
    name = _text(where, given, "name")
    if name is None and options is not None:
        name = " / ".join(options.values())
    price, *other_prices = _prices(where, given, currency)
    return VariantRecord(
        line=line,
        sku=sku,
        name=checked_name(f"{where}/name", name) if name else name,
        options=options,
        price=price,
        other_prices=tuple(other_prices),
        stock=_number(f"{where}/stock_quantity", given.get("stock_quantity"), checked_stock),
        weight_grams=_number(f"{where}/weight_grams", given.get("weight_grams"), checked_weight),
    )


def _refuse_repeated_skus(product: ProductRecord, reading: Reading) -> None:
    skus = [variant.sku for variant in product.variants]
    if repeated := {sku for sku in skus if skus.count(sku) > 1}:
        raise BadCell("/variants", f"two variants have the SKU {min(repeated)!r}")
    for number, sku in enumerate(skus):
        not_seen_before(f"/variants/{number}/sku", "SKU", sku, product.line, reading.skus)


def _refuse_unknown(where: str, given: dict[str, Any], known: frozenset[str]) -> None:
    if unknown := given.keys() - known:
        raise BadCell(f"{where}/{min(unknown)}"[:200], "is not a field we know")


def _text(where: str, given: dict[str, Any], key: str) -> str | None:
    value = given.get(key)
    return None if value is None else _storable(f"{where}/{key}", value)


def _storable(column: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadCell(column, "is not a string")
    if reason := why_not_storable(value):
        raise BadCell(column, reason)
    return value.strip()


def _flag(given: dict[str, Any], key: str) -> bool | None:
    value = given.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise BadCell(f"/{key}", "is not true or false")


def _category(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list):
        return checked_category("/category", [_storable("/category", name) for name in value])
    return category_path("/category", _storable("/category", value))


def _tags(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MOST_TAGS:
        raise BadCell("/tags", f"is not a list of at most {MOST_TAGS} tags")
    try:
        return tuple(sorted({tag_of(_storable("/tags", tag)) for tag in value}))
    except ValueError as error:
        raise BadCell("/tags", str(error)) from None


def _attributes(value: Any) -> dict[str, Any] | None:
    """Whether the shop has them, and takes these values, is seen when they are imported."""
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) > MOST_ATTRIBUTES_OF_A_PRODUCT:
        raise BadCell("/attributes", f"is not an object of at most {MOST_ATTRIBUTES_OF_A_PRODUCT} attributes")
    return value


def _times(given: dict[str, Any]) -> dict[str, datetime | None]:
    times = {key: _time(key, _text("", given, key)) for key in ("published_from", "published_until")}
    if times["published_from"] and times["published_until"] and times["published_until"] <= times["published_from"]:
        raise BadCell("/published_until", "is not later than published_from")
    return times


def _time(key: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise BadCell(f"/{key}", "is not a time with its zone, such as 2026-01-31T08:00:00Z")
    return time


def _options(column: str, value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) > 10:
        raise BadCell(column, "is not an object of at most ten options")
    return {
        checked_name(column, _storable(column, name)): checked_name(column, _storable(column, chosen))
        for name, chosen in value.items()
    }


def _prices(where: str, given: dict[str, Any], currency: str) -> list[Money]:
    """At least one, and one a currency."""
    others = given.get("prices") or []
    if not isinstance(others, list) or len(others) > MOST_CURRENCIES:
        raise BadCell(f"{where}/prices", f"is not a list of at most {MOST_CURRENCIES} amounts with their currencies")
    first = [_price(f"{where}/price", given.get("price"), currency)] if "price" in given or not others else []
    prices = first + [_price(f"{where}/prices/{number}", one, currency) for number, one in enumerate(others)]
    if len({price.currency for price in prices}) < len(prices):
        raise BadCell(f"{where}/prices", "has two prices in one currency")
    return prices


def _price(column: str, value: Any, currency: str) -> Money:
    if isinstance(value, dict) and value.keys() == {"amount", "currency"}:
        value, currency = value["amount"], value["currency"]
    if not isinstance(value, str) or not isinstance(currency, str):
        raise BadCell(column, 'is not a string such as "19.99", nor an amount with its currency')
    try:
        return parse_price(value, currency)
    except ValueError as error:
        raise BadCell(column, str(error)) from None


def _number(column: str, value: Any, checked: Callable[[str, int], int]) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadCell(column, "is not a whole number")
    return checked(column, value)
