"""Taxes from the cart to the refund, to the cent; and nothing is sold of which nobody knows how it is taxed."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from db import baskets, cancellations, orders, parcels, refunds, taxes
from db.base import new_id
from db.engine import Sessions, connect, sessions_of
from db.refunds import RefundWish
from domain.baskets import Destination
from domain.customers import Role
from domain.errors import Refusal
from domain.money import Money, Rounding
from domain.orders import PlacedOrder
from domain.refunds import PaymentRefund, SettleRefund
from domain.taxes import Elsewhere, RoundedBy, TaxMode, TaxPolicy
from runtime.resources import Resources
from tests.db.test_cancellations import to_cancel
from tests.db.test_parcels import do
from tests.support.catalog import AProduct, a_product
from tests.support.orders import AnOrder, a_cart, lines_of, place, to_confirm, to_place, to_plan, to_ship, written_about
from tests.support.staff import headers_of

EXCLUSIVE, INCLUSIVE, UNTAXED = "QM", "QN", "QO"
"""Countries that are nobody's, so that no other test sells there."""
PRICES = ("3.33", "10.00")
UNITS = (3, 2)


@asynccontextmanager
async def a_shop(resources: Resources, **policy: Any) -> AsyncIterator[Sessions]:
    """Sessions of a process whose settings say that it takes taxes."""
    database = resources.settings.database
    async with connect(
        database.url.get_secret_value(),
        shop_schema=database.shop_schema,
        pool_size=2,
        pool_wait_seconds=5,
        stock=resources.settings.shop.stock_rules,
        taxes=TaxPolicy(mode=TaxMode.TABLE, **policy),
    ) as engine:
        yield sessions_of(engine)


@pytest.fixture(scope="module", autouse=True)
async def regions(resources: Resources) -> dict[str, UUID]:
    """A state with a city and goods of a class of their own, and a country whose prices contain their tax."""
    made: dict[str, UUID] = {}
    async with resources.sessions.begin() as session:
        for name, country, prefix, is_inclusive in (
            ("city", EXCLUSIVE, "941", False),
            ("country", EXCLUSIVE, "", False),
            ("inclusive", INCLUSIVE, "", True),
        ):
            fields = {"country": country, "postal_prefix": prefix, "is_inclusive": is_inclusive}
            made[name] = (await taxes.add_region(session, fields, actor="admin:1")).id
        for region, name, percent, tax_class in (
            ("city", "State", "7.25", "standard"),
            ("city", "City", "1.375", "standard"),
            ("city", "State", "1", "food"),
            ("country", "State", "50", "standard"),
            ("inclusive", "VAT", "19", "standard"),
        ):
            rate = {"region_id": made[region], "name": name, "percent": Decimal(percent), "tax_class": tax_class}
            await taxes.add_rate(session, rate, actor="admin:1")
    return made


async def two_products(resources: Resources) -> list[AProduct]:
    return [await a_product(resources.sessions, price=price, stock=12) for price in PRICES]


async def a_cart_to(sessions: Sessions, products: list[AProduct], country: str, **otherwise: Any) -> UUID:
    contents = ((product.variant_id, units) for product, units in zip(products, UNITS, strict=True))
    cart_id = await a_cart(sessions, *contents, **otherwise)
    there = json.dumps({"country": country, "region": "IL", "postal_code": "94110"})
    async with sessions.begin() as session:
        await session.execute(
            text("UPDATE carts SET shipping_address = shipping_address || CAST(:there AS jsonb) WHERE id = :id"),
            {"there": there, "id": cart_id},
        )
    return cart_id


async def ordered(sessions: Sessions, cart_id: UUID) -> AnOrder:
    request = await to_place(sessions, cart_id)
    placed = await place(sessions, request)
    order = AnOrder(
        order_id=request.order_id,
        order_number=request.order_number,
        payment_id=request.payment_id,
        cart_id=cart_id,
        total=placed.total,
        reference=f"pi_{request.order_id.hex}",
    )
    async with sessions.begin() as session:
        await orders.confirm(session, to_confirm(order))
    return order


async def row(sessions: Sessions, query: str, **values: Any) -> Any:
    async with sessions() as session:
        return (await session.execute(text(query), values)).one()


async def rows(sessions: Sessions, query: str, **values: Any) -> list[tuple[Any, ...]]:
    async with sessions() as session:
        return [tuple(found) for found in await session.execute(text(query), values)]


OF_ORDER = "SELECT * FROM orders WHERE id = :id"
OF_LINES = "SELECT discount, tax, included_tax FROM order_lines WHERE order_id = :id ORDER BY position"


async def test_an_order_keeps_its_taxes_by_line_and_by_name(resources: Resources) -> None:
    products = await two_products(resources)
    async with a_shop(resources) as sessions:
        order = await ordered(sessions, await a_cart_to(sessions, products, EXCLUSIVE))
        found = await row(sessions, OF_ORDER, id=order.order_id)
        lines = await rows(sessions, OF_LINES, id=order.order_id)

    # 8.625 % of 9.99, of 20.00 and of 4.99
    assert lines == [(0, 86, 0), (0, 173, 0)]
    assert (found.tax, found.shipping_tax, found.included_tax, found.total) == (302, 43, 0, 2999 + 499 + 302)
    assert found.pricing["taxes"] == [
        {"name": "State", "percent": "7.25", "base": 3498, "amount": 254, "is_included": False},
        {"name": "City", "percent": "1.375", "base": 3498, "amount": 48, "is_included": False},
    ]
    assert order.total == Money(3800, "USD")


async def test_parcels_and_refunds_of_single_units_come_to_what_was_paid_with_taxes(resources: Resources) -> None:
    """One tea is cancelled; the others leave in two parcels and come back one by one."""
    products = await two_products(resources)
    async with a_shop(resources) as sessions:
        order = await ordered(sessions, await a_cart_to(sessions, products, EXCLUSIVE))
        lines = await lines_of(sessions, order)
        tea, mug = (lines[product.variant_id] for product in products)
        captured = []
        for content in ([(mug, 1), (tea, 1)], None):
            if content is None:
                await do(resources, cancellations.cancel_units, await to_cancel(resources, order, (tea, 1)))
            planned = await do(resources, parcels.plan, to_plan(order, *(content or ())))
            shipping = to_ship(order, planned.fulfillment_id)
            captured.append((await do(resources, parcels.charge, shipping)).amount.minor)
            await do(resources, parcels.ship, shipping)
        refunded = []
        for line in (tea, mug, mug, tea):
            wish = RefundWish(
                refund_id=new_id(), order_id=order.order_id, reason="broken", actor="operator:1", items={line: 1}
            )
            made = await do(resources, refunds.request, wish)
            refunded.append(made.amount)
            outcome = PaymentRefund(is_refunded=True, reference=f"re_{made.id.hex}")
            settled = SettleRefund(refund_id=made.id, order_id=order.order_id, outcome=outcome)
            await do(resources, refunds.settle, settled)
        payment = await row(sessions, "SELECT * FROM payments WHERE order_id = :id", id=order.order_id)

    # tea cost 10.85 with tax, a third of it is 3.61666; a mug cost 10.865; shipping 5.42
    assert captured == [542 + 362 + 1087, 362 + 1086]
    assert refunded == [362, 1087, 1086, 362]
    assert (payment.captured, payment.refunded) == (3800 - 361, 3800 - 361 - 542)


async def test_prices_that_contain_their_tax_stay_as_they_are(resources: Resources) -> None:
    products = await two_products(resources)
    async with a_shop(resources) as sessions:
        order = await ordered(sessions, await a_cart_to(sessions, products, INCLUSIVE))
        found = await row(sessions, OF_ORDER, id=order.order_id)
        lines = await rows(sessions, OF_LINES, id=order.order_id)

    assert lines == [(0, 0, 160), (0, 0, 319)]
    assert (found.tax, found.included_tax, found.total) == (0, 160 + 319 + 80, 3498)


@pytest.mark.parametrize(("rounded_by", "of_lines"), [(RoundedBy.LINE, [86, 172]), (RoundedBy.ORDER, [86, 173])])
async def test_tax_may_be_rounded_by_line_or_once_for_the_whole_order(
    resources: Resources, rounded_by: RoundedBy, of_lines: list[int]
) -> None:
    """Of 8.625 % on 9.99, 20.00 and 4.99: 0.8616…, 1.725 and 0.4303…, together 3.0170…."""
    products = await two_products(resources)
    async with a_shop(resources, rounded_by=rounded_by, rounding=Rounding.HALF_EVEN) as sessions:
        order = await ordered(sessions, await a_cart_to(sessions, products, EXCLUSIVE))
        found = await row(sessions, OF_ORDER, id=order.order_id)
        lines = await rows(sessions, OF_LINES, id=order.order_id)

    assert [tax for _, tax, _ in lines] == of_lines
    assert (found.shipping_tax, found.tax) == (43, sum(of_lines) + 43)


async def test_discounts_are_rounded_as_taxes_are(resources: Resources) -> None:
    products = await two_products(resources)
    async with a_shop(resources, rounding=Rounding.HALF_EVEN) as sessions:
        cart_id = await a_cart_to(sessions, products, EXCLUSIVE)
        async with sessions.begin() as session:
            found = await baskets.priced(session, cart_id)

    assert found is not None
    assert found.basket.rounding is Rounding.HALF_EVEN


async def test_whoever_is_exempt_pays_neither_an_added_nor_a_contained_tax(resources: Resources) -> None:
    products = await two_products(resources)
    await headers_of(resources, Role.CUSTOMER)
    async with a_shop(resources) as sessions:
        user_id = (await row(sessions, "SELECT id FROM users WHERE role = 'customer' ORDER BY id DESC LIMIT 1")).id
        async with sessions.begin() as session:
            await taxes.exempt(session, user_id, "QN123456789", actor="operator:1")
        abroad = await ordered(sessions, await a_cart_to(sessions, products, EXCLUSIVE, user_id=user_id))
        at_home = await ordered(sessions, await a_cart_to(sessions, products, INCLUSIVE, user_id=user_id))
        added = await row(sessions, OF_ORDER, id=abroad.order_id)
        contained = await row(sessions, OF_ORDER, id=at_home.order_id)

    assert (added.tax, added.discount, added.total, added.pricing["is_tax_exempt"]) == (0, 0, 3498, True)
    assert (contained.included_tax, contained.discount, contained.shipping_discount) == (0, 160 + 319 + 80, 80)
    assert contained.total == 3498 - 559


async def test_where_nobody_knows_the_tax_nothing_is_sold(resources: Resources) -> None:
    products = await two_products(resources)
    async with a_shop(resources) as sessions:
        cart_id = await a_cart_to(sessions, products, UNTAXED)
        request = await to_place(sessions, cart_id)
        before = await written_about(sessions, request.order_id, cart_id)

        with pytest.raises(Refusal) as refused:
            await place(sessions, request)

        assert refused.value.code == "tax_unknown"
        assert await written_about(sessions, request.order_id, cart_id) == before
        async with sessions() as session:
            found = await baskets.priced(session, cart_id)
        assert found is not None
        assert (found.priced.taxes.is_final, found.priced.totals.total) == (False, Money(3498, "USD"))


async def test_where_nobody_knows_the_tax_that_of_home_may_be_taken(resources: Resources) -> None:
    products = await two_products(resources)
    home = Destination(country=INCLUSIVE)
    async with a_shop(resources, elsewhere=Elsewhere.HOME, home=home) as sessions:
        placed = await place(sessions, await to_place(sessions, await a_cart_to(sessions, products, UNTAXED)))
        found = await row(sessions, OF_ORDER, id=placed.order_id)

    assert isinstance(placed, PlacedOrder)
    assert (found.included_tax, found.total) == (559, 3498)


async def test_goods_of_a_class_are_taxed_by_its_rates(resources: Resources) -> None:
    products = await two_products(resources)
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE products SET tax_class = 'food' WHERE id = :id"), {"id": products[1].product_id}
        )
    async with a_shop(resources) as sessions:
        order = await ordered(sessions, await a_cart_to(sessions, products, EXCLUSIVE))
        lines = await rows(sessions, OF_LINES, id=order.order_id)

    assert lines == [(0, 86, 0), (0, 20, 0)]


async def test_a_shop_without_taxes_asks_no_table(resources: Resources) -> None:
    products = await two_products(resources)
    order = await ordered(resources.sessions, await a_cart_to(resources.sessions, products, EXCLUSIVE))

    found = await row(resources.sessions, OF_ORDER, id=order.order_id)
    assert (found.tax, found.total, found.pricing["taxes"]) == (0, 3498, [])
