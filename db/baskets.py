"""Carts with what they cost at this moment: what is shown, and what an order is placed by."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from db import credit, promotions, tax_answers, taxes
from db.catalog import CATEGORIES_OF_PRODUCT, IS_IN_THE_SHOP, sold_name
from db.credit import PURSES
from db.inventory import Demand
from db.price_lists import groups_of, list_prices, list_prices_of
from db.promotions import customer_of
from db.shipping_rates import ADDRESS_OF_CART, tariffs_of, tariffs_to
from domain.baskets import Basket, Code, Destination, Line, Shopper
from domain.credit import Tender, tender
from domain.errors import Refusal
from domain.money import Money, Rounding
from domain.price_lists import unit_price
from domain.pricing import Priced, discounted, taxables, taxed
from domain.promotions import Offers
from domain.shipping_rates import Option, options
from domain.taxes import TaxPolicy, TaxQuestion, TaxRules, question

TAX_UNAVAILABLE = "tax_unavailable"


@dataclass(frozen=True, kw_only=True, slots=True)
class PricedCart:
    cart: RowMapping
    """The cart's own facts."""
    priced: Priced
    without_shipping: Priced
    """Before taxes and a way of shipping, whose price depends on what the goods cost after discounts."""
    basket: Basket
    """What was priced, before a way of shipping was chosen."""
    unsold: tuple[Line, ...]
    """Lines that cannot be ordered: they have left the shop, or have no price in the cart's currency."""
    tender: Tender
    """What it would be paid with."""
    is_shipping_offered: bool
    """The chosen way of shipping carries these goods to the address; false also when none is chosen."""
    question: TaxQuestion | None
    """What the tax provider has to be asked before anybody knows what this costs."""

    def check_can_be_ordered(self) -> None:
        """Refuses ``cart_incomplete``, ``not_sold_in_currency``, ``tax_unavailable`` and ``tax_unknown``."""
        check_is_complete(self.cart, self.demand)
        if self.unsold:
            raise Refusal(
                "not_sold_in_currency",
                "Some items are not sold any more, or not in this currency.",
                items=[{"variant_id": str(line.variant_id), "sku": line.sku} for line in self.unsold],
            )
        if not self.is_shipping_offered:
            gone = f"{self.cart['shipping_method']} does not carry this cart to its address"
            errors = [{"pointer": "/shipping_method", "detail": gone}]
            raise Refusal("cart_incomplete", "The chosen shipping method is not offered any more.", errors=errors)
        if self.question is not None:
            raise Refusal(TAX_UNAVAILABLE, "It could not be found out which tax is due; nothing was charged.")
        if not self.priced.taxes.is_known:  # what the shop cannot tax it does not sell
            country = self.cart["shipping_address"]["country"]
            raise Refusal("tax_unknown", f"It is not known which tax is due in {country}; nothing was charged.")

    @property
    def demand(self) -> list[Demand]:
        return demand_of([priced.line for priced in self.priced.lines])


def demand_of(lines: Sequence[Line]) -> list[Demand]:
    """What an order of these lines needs, in the order in which stock is locked."""
    units = Counter[tuple[UUID, str]]()
    for line in lines:
        units[line.variant_id, line.sku] += line.quantity
    return [Demand(variant, sku, quantity) for (variant, sku), quantity in sorted(units.items())]


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedCart:
    """What has to be known of a cart before its checkout is taken in; what it costs is found out when it is placed."""

    cart: RowMapping
    demand: list[Demand]


def check_is_complete(cart: RowMapping, demand: Sequence[Demand]) -> None:
    """Refuses ``cart_incomplete``, naming all that an order needs and this cart has not."""
    errors = [
        {"pointer": f"/{name}", "detail": "is needed before the cart can be ordered"}
        for name in ("email", "shipping_address", "shipping_method")
        if cart[name] is None
    ]
    if not demand:
        errors.append({"pointer": "/items", "detail": "the cart is empty"})
    if errors:
        raise Refusal("cart_incomplete", "The cart lacks something that an order needs.", errors=errors)


async def wanted(session: AsyncSession, cart_id: UUID) -> WantedCart | None:
    """Every checkout begins with it, also of the thousands who come in vain: so it prices nothing."""
    rows = (await session.execute(WANTED, {"cart_id": cart_id})).mappings().all()
    if not rows:
        return None
    demand = [Demand(row["variant_id"], row["sku"], row["quantity"]) for row in rows if row["variant_id"]]
    return WantedCart(cart=rows[0], demand=demand)


WANTED = text(
    """
    SELECT carts.user_id, carts.currency, carts.email, carts.shipping_address, carts.shipping_method, carts.order_id,
           carts.completed_at, carts.merged_into, variants.id AS variant_id, variants.sku, cart_items.quantity,
           EXISTS (
               SELECT FROM checkouts WHERE checkouts.cart_id = carts.id AND NOT checkouts.is_refused
           ) AS has_a_checkout
    FROM carts
    LEFT JOIN (cart_items JOIN variants ON variants.id = cart_items.variant_id) ON cart_items.cart_id = carts.id
    WHERE carts.id = :cart_id
    ORDER BY variants.id
    """
)


async def priced(
    session: AsyncSession, cart_id: UUID, *, is_whole: bool = False, is_tax_provider_silent: bool = False
) -> PricedCart | None:
    """One statement, since every order is placed with it; and one for the taxes.

    Another one where rules about prices were changed since this process has read them. With ``is_whole`` the trace
    tells of every promotion, also of those that look at nothing that is in the cart.
    """
    rows = (await session.execute(CART, {"cart_id": cart_id})).mappings().all()
    if not rows:
        return None
    cart = rows[0]
    shopper = _shopper(cart)
    items = [(_line(row, shopper), row["is_sold"]) for row in rows if row["item_id"]]
    policy = TaxPolicy.read(cart["taxes"])
    basket = _basket(cart, shopper, [line for line, _ in items], policy.rounding)
    rules = await promotions.rules(session, cart["rules_version"])
    offered = rules.for_basket(basket, is_whole=is_whole)
    offers = Offers(basket, offered)
    without_shipping = discounted(basket, offers.reduction(0))
    shipping = next((option.price for option in _options(cart["tariffs"], basket, without_shipping)), None)
    shipped = replace(basket, shipping=Money(shipping or 0, basket.currency))
    before_taxes = discounted(shipped, offers.reduction(shipped.shipping.minor))
    asked = question(
        taxables(before_taxes), policy, basket.destination, basket.currency, is_exempt=shopper.is_tax_exempt
    )
    due = await _taxes_due(session, policy, basket, asked, is_provider_silent=is_tax_provider_silent)
    whole = taxed(before_taxes, shipped, due)
    return PricedCart(
        cart=cart,
        priced=whole,
        tender=tender(whole.totals.total, credit.purses_of(cart["purses"])),
        without_shipping=without_shipping,
        basket=basket,
        unsold=tuple(line for line, is_sold in items if not is_sold),
        is_shipping_offered=shipping is not None,
        question=asked if due.answer is None and not due.is_table_final else None,
    )


async def _taxes_due(
    session: AsyncSession, policy: TaxPolicy, basket: Basket, asked: TaxQuestion | None, *, is_provider_silent: bool
) -> TaxRules:
    """What the provider has said of this very content, else what the table says."""
    if asked is not None:
        hold = policy.answers_hold_seconds
        answer = await tax_answers.known(session, asked.fingerprint, hold_seconds=hold)
        if answer is not None:
            return TaxRules(policy=policy, answer=answer)
    found = await taxes.rules_for(session, policy, basket.destination)
    return replace(found, is_provider_silent=is_provider_silent)


def _options(tariffs: Sequence[Mapping[str, Any]] | None, basket: Basket, priced: Priced) -> list[Option]:
    """What carries the basket, at which price: what its goods cost after discounts may make it free."""
    goods = priced.totals.subtotal - priced.totals.discount
    return options(tariffs_of(tariffs), weight_grams=basket.weight_grams, goods=goods.minor)


async def shipping_options(session: AsyncSession, found: PricedCart) -> list[Option]:
    """The ways of shipping that the cart may choose, in the order in which customers see them."""
    tariffs = await session.scalar(TARIFFS, {"cart_id": found.cart["id"]})
    return _options(tariffs, found.basket, found.without_shipping)


TARIFFS = text(f"SELECT {tariffs_to(ADDRESS_OF_CART, 'carts.currency')} FROM carts WHERE id = :cart_id")  # noqa: S608


MANY_ORDERS = 100
"""Nobody asks whether it was a customer's hundredth order or a later one."""


def counted(whose: str) -> str:
    return f"""(
                       SELECT count(*) FROM (
                           SELECT FROM orders
                           WHERE {whose} AND status <> 'cancelled' AND orders.id IS DISTINCT FROM carts.order_id
                           LIMIT {MANY_ORDERS}
                       ) AS theirs
                   )"""  # noqa: S608 (constant text)


CODES = """(
                   SELECT coalesce(jsonb_agg(jsonb_build_array(
                       entered.code, promotion_id, uses >= usage_limit AND NOT EXISTS (
                           SELECT FROM promotion_uses
                           WHERE promotion_uses.order_id = carts.order_id AND promotion_uses.code = entered.code
                       )
                   ) ORDER BY position), '[]')
                   FROM unnest(carts.promotion_codes) WITH ORDINALITY AS entered (code, position)
                   LEFT JOIN promotion_codes ON promotion_codes.code = entered.code
               )"""
OF_ITS_ORDER = "(SELECT promotion_id FROM promotion_uses WHERE promotion_uses.order_id = carts.order_id)"
"""What the cart's own order has used is not used up for it."""

USED_UP = f"""ARRAY(
                   SELECT id FROM promotions WHERE usage_limit IS NOT NULL AND uses >= usage_limit
                   EXCEPT {OF_ITS_ORDER}
               )"""  # noqa: S608 (constant text)
USED_UP_BY_SHOPPER = f"""ARRAY(
                   SELECT promotion_id FROM promotion_customers
                   JOIN promotions ON promotions.id = promotion_customers.promotion_id
                   WHERE customer_hash = {customer_of("carts")}
                     AND promotion_customers.uses >= usage_limit_per_customer
                   EXCEPT {OF_ITS_ORDER}
               )"""  # noqa: S608 (constant text)

CART = text(
    f"""
    WITH cart AS MATERIALIZED (
        SELECT carts.id, carts.user_id, carts.currency, carts.languages, carts.email,
               carts.shipping_address, carts.shipping_method,
               carts.version, carts.order_id, carts.completed_at, carts.merged_into,
               carts.reminder_consent_at IS NOT NULL AS reminder_consent, now() AS at,
               {tariffs_to(ADDRESS_OF_CART, "carts.currency", only="carts.shipping_method")} AS tariffs,
               CASE WHEN carts.user_id IS NOT NULL
                   THEN {counted("orders.user_id = carts.user_id")}
                   ELSE {counted("orders.user_id IS NULL AND lower(orders.email) = lower(carts.email)")}
               END AS orders_before, {groups_of("carts.user_id")} AS groups,
               EXISTS (SELECT FROM tax_exemptions WHERE tax_exemptions.user_id = carts.user_id) AS is_tax_exempt,
               current_setting('sutler.taxes') AS taxes,
               {PURSES} AS purses, carts.uses_store_credit,
               carts.promotion_codes, {CODES} AS codes, {USED_UP} AS used_up,
               {USED_UP_BY_SHOPPER} AS used_up_by_shopper, (SELECT version FROM pricing_rules) AS rules_version
        FROM carts
        WHERE carts.id = :cart_id
    )
    SELECT cart.*, cart_items.id AS item_id, cart_items.variant_id, variants.product_id, variants.sku,
           {sold_name("coalesce(translated.name, products.name)")} AS name, cart_items.quantity, variants.weight_grams,
           products.brand, products.tags, products.tax_class,
           {CATEGORIES_OF_PRODUCT} AS categories, coalesce(prices.amount, 0) AS base_price,
           {list_prices_of(variant="variants.id", currency="cart.currency", user="cart.user_id")} AS list_prices,
           prices.amount IS NOT NULL AND {IS_IN_THE_SHOP} AS is_sold
    FROM cart
    LEFT JOIN (
        cart_items
        JOIN variants ON variants.id = cart_items.variant_id
        JOIN products ON products.id = variants.product_id
    ) ON cart_items.cart_id = cart.id
    LEFT JOIN prices ON prices.variant_id = variants.id AND prices.currency = cart.currency
    LEFT JOIN LATERAL (
        SELECT name FROM product_translations
        WHERE product_translations.product_id = products.id AND language = ANY(cart.languages)
        ORDER BY array_position(cart.languages, language) LIMIT 1
    ) AS translated ON cart.languages IS NOT NULL
    ORDER BY cart_items.id
    """  # noqa: S608 (constant text)
)


def _shopper(cart: RowMapping) -> Shopper:
    return Shopper(
        user_id=cart["user_id"],
        groups=frozenset(cart["groups"]),
        orders_before=cart["orders_before"],
        is_tax_exempt=cart["is_tax_exempt"],
    )


def _basket(cart: RowMapping, shopper: Shopper, lines: Sequence[Line], rounding: Rounding) -> Basket:
    return Basket(
        currency=cart["currency"],
        lines=tuple(lines),
        shipping=Money.zero(cart["currency"]),
        at=cart["at"],
        codes=tuple(
            Code(code, UUID(promotion) if promotion else None, is_used_up=bool(is_used_up))
            for code, promotion, is_used_up in cart["codes"]
        ),
        used_up=frozenset(cart["used_up"]),
        used_up_by_shopper=frozenset(cart["used_up_by_shopper"]),
        shopper=shopper,
        rounding=rounding,
        destination=_destination(cart["shipping_address"]) if cart["shipping_address"] else None,
    )


def _destination(address: Mapping[str, Any]) -> Destination:
    return Destination(
        country=address["country"], region=address.get("region"), postal_code=address.get("postal_code") or ""
    )


def _line(row: RowMapping, shopper: Shopper) -> Line:
    unit = unit_price(
        Money(row["base_price"], row["currency"]),
        row["quantity"],
        list_prices(row["list_prices"], row["currency"]),
        groups=shopper.groups,
        at=row["at"],
    )
    return Line(
        id=row["item_id"],
        variant_id=row["variant_id"],
        product_id=row["product_id"],
        sku=row["sku"],
        name=row["name"],
        quantity=row["quantity"],
        unit_price=unit.price,
        base_price=unit.base if unit.price_list else None,
        price_list=unit.price_list,
        categories=frozenset(row["categories"]),
        brand=row["brand"],
        tags=frozenset(row["tags"]),
        weight_grams=row["weight_grams"],
        tax_class=row["tax_class"],
    )
