"""What clients send and get of the catalogue."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from api.schemas import Amount, Input, Output, amount
from db.catalog_lists import ProductPage
from db.catalog_query import Facet
from db.catalog_suggestions import Suggestions
from db.catalog_views import ProductView
from domain.catalog import (
    HEAVIEST,
    LARGEST_STOCK,
    LONGEST_BRAND,
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    LONGEST_SKU,
    LONGEST_SLUG,
    MOST_CURRENCIES,
    MOST_VARIANTS,
    PRICE_STEPS,
    is_slug,
)
from domain.catalog_attributes import LONGEST_VALUE, MOST_CHOICES, MOST_TAGS, Attribute, AttributeKind, tag_of
from domain.catalog_files import why_not_storable
from domain.inventory import MAIN_LOCATION


def _storable(text: str) -> str:
    if reason := why_not_storable(text):
        raise ValueError(reason)
    return text


def _slug(text: str) -> str:
    if not is_slug(text):
        raise ValueError("must be one word that can stand in an address, and not look like an id")
    return text


def _not_below_zero(price: Amount) -> Amount:
    if price.as_money().minor < 0:
        raise ValueError("a price is not below zero")
    return price


Text = Annotated[str, AfterValidator(_storable)]
Name = Annotated[Text, Field(min_length=1, max_length=LONGEST_NAME, examples=["Coffee mug"])]
Brand = Annotated[Text, Field(max_length=LONGEST_BRAND, examples=["Acme"])]
Description = Annotated[Text, Field(max_length=LONGEST_DESCRIPTION)]
Sku = Annotated[Text, Field(min_length=1, max_length=LONGEST_SKU, examples=["MUG-BLUE"])]
Slug = Annotated[str, Field(min_length=1, max_length=LONGEST_SLUG), AfterValidator(_slug)]
SellingPrice = Annotated[Amount, AfterValidator(_not_below_zero)]
Quantity = Annotated[int, Field(ge=0, le=LARGEST_STOCK, strict=True)]
Weight = Annotated[int, Field(ge=0, le=HEAVIEST, strict=True, description="Of one unit, in grams")]


def _one_a_currency(prices: list[Amount]) -> list[Amount]:
    if len({price.currency for price in prices}) < len(prices):
        raise ValueError("two prices have one currency")
    return prices


SellingPrices = Annotated[
    list[SellingPrice],
    Field(min_length=1, max_length=MOST_CURRENCIES, description="One for each currency in which it is sold"),
    AfterValidator(_one_a_currency),
]


def _tag(text: str) -> str:
    return tag_of(text)


def _unique(tags: list[str]) -> list[str]:
    return sorted(set(tags))


Tags = Annotated[
    list[Annotated[str, AfterValidator(_tag)]],
    Field(max_length=MOST_TAGS, examples=[["sale"]]),
    AfterValidator(_unique),
]
AttributeValue = StrictBool | StrictInt | StrictFloat | StrictStr
AttributeCode = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,49}$", examples=["colour"])]
TaxClass = Annotated[
    str,
    Field(
        pattern="^[a-z][a-z0-9_]{0,49}$",
        examples=["reduced"],
        description="Which tax rates of a region it has; where there is none of this class, those of `standard`",
    ),
]
Options = Annotated[dict[Name, Name], Field(max_length=10, examples=[{"size": "L"}])]
Position = Annotated[int, Field(ge=-1_000_000, le=1_000_000, strict=True)]


class NewVariant(Input):
    sku: Sku | None = Field(default=None, description="Made from the slug and the options when it is not given")
    name: Annotated[Text, Field(max_length=LONGEST_NAME)] = ""
    price: SellingPrice | None = Field(default=None, description="In one currency; or `prices`")
    prices: SellingPrices | None = None
    stock_quantity: Quantity = 0
    weight_grams: Weight = 0
    options: Options = Field(default_factory=dict)

    @model_validator(mode="after")
    def has_one_kind_of_prices(self) -> Self:
        if (self.price is None) == (self.prices is None):
            raise ValueError("give a price, or prices in several currencies")
        return self


class NewProduct(Input):
    """Either ``variants``, or the price, stock, SKU, weight and options of the only one."""

    name: Name
    description: Description = ""
    brand: Brand | None = None
    category_id: UUID
    is_active: bool = True
    tags: Tags = Field(default_factory=list)
    attributes: dict[AttributeCode, AttributeValue] = Field(default_factory=dict, examples=[{"colour": "red"}])
    published_from: AwareDatetime | None = Field(default=None, description="When it appears; at once by default")
    published_until: AwareDatetime | None = Field(default=None, description="When it disappears; never by default")
    tax_class: TaxClass = "standard"
    variants: Annotated[list[NewVariant], Field(min_length=1, max_length=MOST_VARIANTS)] | None = None
    sku: Sku | None = None
    price: SellingPrice | None = Field(default=None, description="In one currency; or `prices`")
    prices: SellingPrices | None = None
    stock_quantity: Quantity = 0
    weight_grams: Weight = 0
    options: Options = Field(default_factory=dict)

    @model_validator(mode="after")
    def says_what_is_sold_once(self) -> Self:
        single = self.model_fields_set & {"sku", "price", "prices", "stock_quantity", "weight_grams", "options"}
        if self.variants is None and self.price is None and self.prices is None:
            raise ValueError("give a price, or variants with a price each")
        if self.price is not None and self.prices is not None:
            raise ValueError("give a price, or prices in several currencies")
        if self.variants is not None and single:
            raise ValueError(f"with variants, {', '.join(sorted(single))} belongs to each of them")
        return self


class VariantChange(Input):
    """With ``id`` a variant of the product is changed, without one is added."""

    id: UUID | None = None
    sku: Sku | None = None
    name: Annotated[Text, Field(max_length=LONGEST_NAME)] | None = None
    price: SellingPrice | None = Field(default=None, description="Prices in other currencies stay")
    prices: SellingPrices | None = Field(default=None, description="All of them: it is sold in no other currency then")
    options: Options | None = None
    weight_grams: Weight | None = None
    stock_quantity: Quantity | None = Field(default=None, description="Only of a new variant")

    @model_validator(mode="after")
    def is_complete(self) -> Self:
        if self.price is not None and self.prices is not None:
            raise ValueError("give a price, or prices in several currencies")
        if self.id is None and self.price is None and self.prices is None:
            raise ValueError("a new variant needs a price, a known one its id")
        if self.id is not None and self.stock_quantity is not None:
            raise ValueError("stock is changed by stock adjustments")
        return self


class ProductChange(Input):
    """Fields that are absent stay as they are; stock is changed by stock adjustments."""

    name: Name | None = None
    description: Description | None = None
    brand: Brand | None = None
    category_id: UUID | None = None
    is_active: bool | None = None
    tags: Tags | None = None
    attributes: dict[AttributeCode, AttributeValue | None] | None = Field(
        default=None, description="What is not named stays as it is; `null` takes an attribute away"
    )
    published_from: AwareDatetime | None = None
    published_until: AwareDatetime | None = None
    tax_class: TaxClass | None = None
    sku: Sku | None = Field(default=None, description="Of the only variant")
    price: SellingPrice | None = Field(
        default=None, description="Of the only variant; prices in other currencies stay as they are"
    )
    prices: SellingPrices | None = Field(
        default=None, description="Of the only variant, all of them: it is sold in no other currency then"
    )
    weight_grams: Weight | None = Field(default=None, description="Of the only variant, in grams")
    variants: Annotated[list[VariantChange], Field(max_length=MOST_VARIANTS)] | None = None

    @field_validator(
        *("name", "description", "category_id", "is_active", "tags", "attributes", "tax_class"),
        *("sku", "price", "prices", "weight_grams", "variants"),
    )
    @classmethod
    def is_given(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be null")
        return value

    @model_validator(mode="after")
    def has_one_kind_of_prices(self) -> Self:
        if self.price is not None and self.prices is not None:
            raise ValueError("give a price, or prices in several currencies")
        return self


class AttributeIn(Input):
    name: Name
    kind: AttributeKind
    choices: Annotated[
        list[Annotated[Text, Field(min_length=1, max_length=LONGEST_VALUE)]], Field(max_length=MOST_CHOICES)
    ] = Field(default_factory=list, examples=[["red", "green"]])

    @model_validator(mode="after")
    def has_choices_when_there_is_a_choice(self) -> Self:
        if (self.kind is AttributeKind.CHOICE) != bool(self.choices):
            raise ValueError("an attribute of the kind choice has choices, and no other has")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("two choices are the same")
        return self


class AttributeOut(Output):
    code: str
    name: str
    kind: AttributeKind
    choices: list[str]


class AttributeList(Output):
    items: list[AttributeOut]


class NewCategory(Input):
    name: Name
    slug: Slug | None = Field(default=None, description="Made from the name when it is not given")
    parent_id: UUID | None = None
    position: Position = 0


class CategoryChange(Input):
    name: Name | None = None
    slug: Slug | None = None
    parent_id: UUID | None = None
    position: Position | None = None

    @field_validator("name", "slug", "position")
    @classmethod
    def is_given(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("cannot be null")
        return value


LocationCode = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$", examples=["north"])]


class StockAdjustment(Input):
    quantity_change: Annotated[int, Field(ge=-LARGEST_STOCK, le=LARGEST_STOCK, strict=True, examples=[-2])]
    reason: Annotated[Text, Field(min_length=1, max_length=200, examples=["damaged in transport"])]
    location: LocationCode = MAIN_LOCATION

    @field_validator("quantity_change")
    @classmethod
    def changes_something(cls, value: int) -> int:
        if value == 0:
            raise ValueError("cannot be 0")
        return value


class StockOut(Output):
    """What lies at the location that was adjusted."""

    on_hand: int
    reserved: int
    available: int


class CategoryRef(Output):
    id: UUID
    slug: str
    name: str


class VariantOut(Output):
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    id: UUID
    sku: str
    name: str
    price: Amount | None = Field(description="`null` when it is not sold in the currency")
    prices: list[Amount] | None = Field(
        default=None, description="In all currencies, by their codes; only staff is shown them"
    )
    stock_quantity: int = Field(description="What can be sold now: on hand less reserved")
    weight_grams: int
    options: dict[str, str]


class ProductOut(Output):
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    id: UUID
    slug: str
    name: str
    description: str
    brand: str | None
    category: CategoryRef | None
    is_active: bool
    tags: list[str]
    attributes: dict[str, AttributeValue]
    published_from: datetime | None
    published_until: datetime | None
    tax_class: str
    created_at: datetime
    updated_at: datetime
    variants: list[VariantOut]
    price: Amount | None = Field(description="Of the only variant; `null` when there are several")
    stock_quantity: int | None = Field(description="Of the only variant; `null` when there are several")
    degraded: bool | None = Field(
        default=None, description="`true`: the last known state, while the shop cannot look; absent otherwise"
    )


class CategoryCount(CategoryRef):
    count: int


class BrandCount(Output):
    value: str
    count: int


class PriceCount(Output):
    min_price: Amount
    max_price: Amount | None = Field(description="`null` for the uppermost range")
    count: int


class Facets(Output):
    """Besides these, `attribute.<code>` for each that is asked for, with values and counts as of brands."""

    model_config = ConfigDict(extra="allow")

    category: list[CategoryCount] | None = None
    brand: list[BrandCount] | None = None
    price: list[PriceCount] | None = None
    tag: list[BrandCount] | None = None


class ProductPageOut(Output):
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    items: list[ProductOut]
    next_cursor: str | None
    facets: Facets | None = Field(default=None, description="Only when asked for")
    corrected: dict[str, list[str]] | None = Field(
        default=None,
        description="Words of `q` that the shop does not have, and as which of its words they were read; "
        "absent when there are none",
        examples=[{"cofee": ["coffee"]}],
    )


class SuggestedWord(Output):
    kind: Literal["word"]
    text: str = Field(examples=["ground coffee"])


class SuggestedBrand(Output):
    kind: Literal["brand"]
    text: str = Field(examples=["Acme"])


class SuggestedProduct(Output):
    kind: Literal["product"]
    text: str = Field(examples=["Coffee mug"])
    id: UUID
    slug: str


class SuggestionList(Output):
    items: list[SuggestedWord | SuggestedBrand | SuggestedProduct]


class CategoryOut(CategoryRef):
    parent_id: UUID | None
    position: int


class CategoryNode(CategoryOut):
    children: list["CategoryNode"]


class CategoryTree(Output):
    items: list[CategoryNode]


def product_json(view: ProductView, currency: str) -> dict[str, Any]:
    row = view.product
    said = view.text or row
    variants = [
        {
            "id": variant["id"],
            "sku": variant["sku"],
            "name": variant["name"] or said["name"],
            "price": None if variant["amount"] is None else amount(variant["amount"], currency),
            **_all_prices(variant),
            "stock_quantity": variant["stock_quantity"],
            "weight_grams": variant["weight_grams"],
            "options": variant["options"],
        }
        for variant in view.variants
    ]
    only = variants[0] if len(variants) == 1 else {"price": None, "stock_quantity": None}
    return {
        "id": row["id"],
        "slug": row["slug"],
        "name": said["name"],
        "description": said["description"],
        "brand": row["brand"],
        "category": _category_of(view),
        "is_active": row["is_active"],
        "tags": row["tags"],
        "attributes": row["attributes"] or {},
        "published_from": row["published_from"],
        "published_until": row["published_until"],
        "tax_class": row["tax_class"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "variants": variants,
        "price": only["price"],
        "stock_quantity": only["stock_quantity"],
    }


def _all_prices(variant: Any) -> dict[str, Any]:
    if "amounts" not in variant:
        return {}
    return {"prices": [amount(minor, currency) for currency, minor in sorted((variant["amounts"] or {}).items())]}


def _category_of(view: ProductView) -> dict[str, Any] | None:
    row = view.product
    if row["category_id"] is None:
        return None
    return {
        "id": row["category_id"],
        "slug": row["category_slug"],
        "name": view.category_name or row["category_name"],
    }


def page_rest_json(page: ProductPage, currency: str, next_cursor: str | None) -> dict[str, Any]:
    """What a page holds besides its products."""
    rest: dict[str, Any] = {"next_cursor": next_cursor}
    if page.facets:
        rest["facets"] = {
            facet: [_count_json(facet, row, currency) for row in rows] for facet, rows in page.facets.items()
        }
    if page.corrected:
        rest["corrected"] = page.corrected
    return rest


def _count_json(facet: str, row: dict[str, Any], currency: str) -> dict[str, Any]:
    match facet:
        case Facet.CATEGORY:
            return {"id": row["id"], "slug": row["slug"], "name": row["value"], "count": row["count"]}
        case Facet.PRICE:
            return {**_price_range(int(row["value"]), currency), "count": row["count"]}
        case _:
            return {"value": row["value"], "count": row["count"]}


def _price_range(step: int, currency: str) -> dict[str, Any]:
    """Both ends of the range belong to it, as with the parameters of the same names."""
    edges = [0, *PRICE_STEPS]
    highest = edges[step + 1] - 1 if step + 1 < len(edges) else None
    return {
        "min_price": amount(edges[step], currency),
        "max_price": None if highest is None else amount(highest, currency),
    }


def attributes_json(known: Iterable[Attribute]) -> dict[str, Any]:
    return {"items": [attribute_json(attribute) for attribute in known]}


def attribute_json(attribute: Attribute) -> dict[str, Any]:
    return {
        "code": attribute.code,
        "name": attribute.name,
        "kind": attribute.kind,
        "choices": list(attribute.choices),
    }


def suggestions_json(found: Suggestions) -> dict[str, Any]:
    return {
        "items": [
            *({"kind": "word", "text": word} for word in found.words),
            *({"kind": "brand", "text": brand} for brand in found.brands),
            *({"kind": "product", "text": row["name"], "id": row["id"], "slug": row["slug"]} for row in found.products),
        ]
    }


def category_json(row: Any) -> dict[str, Any]:
    return {key: row[key] for key in ("id", "slug", "name", "parent_id", "position")}


def tree_json(rows: Any) -> dict[str, Any]:
    """The rows as a tree; siblings stay in the order of the rows."""
    nodes = {row["id"]: {**category_json(row), "children": []} for row in rows}
    for node in nodes.values():
        if node["parent_id"] is not None:
            nodes[node["parent_id"]]["children"].append(node)
    return {"items": [node for node in nodes.values() if node["parent_id"] is None]}
