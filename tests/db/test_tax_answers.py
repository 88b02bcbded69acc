"""Orders that a tax provider is asked about: asked once, frozen, and never untaxed because it is silent."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from activities.taxes import TaxActivities
from db import baskets, placement, taxes
from db.customers import User
from db.engine import Sessions, connect, sessions_of
from domain.errors import Refusal
from domain.inventory import StockLevel
from domain.money import Money
from domain.orders import Placement, PlaceOrder
from domain.taxes import AskAboutTaxes, NamedTax, TaxAnswer, TaxesAsked, TaxMode, TaxPolicy, TaxQuestion, WhenSilent
from providers.taxes import TaxProviderSilent
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, stock_of
from tests.support.orders import a_cart, place, to_place

TABLED, UNTABLED, INCLUSIVE = "QT", "QU", "QV"
"""Countries that are nobody's, so that no other test sells there."""


class Partner:
    """Takes ten percent, off or on, and remembers what it was asked."""

    name = "partner"

    def __init__(self) -> None:
        self.asked: list[TaxQuestion] = []
        self.is_silent = False
        self.knows_the_place = True

    async def assess(self, question: TaxQuestion) -> TaxAnswer:
        self.asked.append(question)
        if self.is_silent:
            raise TaxProviderSilent("away")
        if not self.knows_the_place:
            return TaxAnswer(is_known=False)
        amounts = tuple(one.amount // (11 if question.is_inclusive else 10) for one in question.goods)
        whole = sum(one.amount for one in question.goods)
        tax = NamedTax(
            name="ten",
            percent=Decimal(10),
            base=whole - sum(amounts) if question.is_inclusive else whole,
            amount=sum(amounts),
            is_included=question.is_inclusive,
        )
        return TaxAnswer(amounts=amounts, taxes=(tax,), reference=f"calc_{len(self.asked)}")


@pytest.fixture
def partner() -> Partner:
    return Partner()


@asynccontextmanager
async def a_shop(resources: Resources, **policy: Any) -> AsyncIterator[Sessions]:
    database = resources.settings.database
    async with connect(
        database.url.get_secret_value(),
        shop_schema=database.shop_schema,
        pool_size=2,
        pool_wait_seconds=5,
        stock=resources.settings.shop.stock_rules,
        taxes=TaxPolicy(mode=TaxMode.PROVIDER, inclusive_countries=(INCLUSIVE,), **policy),
    ) as engine:
        yield sessions_of(engine)


@pytest.fixture(scope="module", autouse=True)
async def table(resources: Resources) -> None:
    """Fifty percent, so that nobody takes it for what the partner says."""
    async with resources.sessions.begin() as session:
        region = await taxes.add_region(session, {"country": TABLED, "is_inclusive": False}, actor="admin:1")
        rate = {"region_id": region.id, "name": "Table", "percent": Decimal(50)}
        await taxes.add_rate(session, rate, actor="admin:1")


async def a_cart_to(sessions: Sessions, product: AProduct, country: str, **otherwise: Any) -> UUID:
    cart_id = await a_cart(sessions, (product.variant_id, 2), **otherwise)
    # Answers are kept by content, and so by place: each test sends its carts to a place of its own.
    there = json.dumps({"country": country, "postal_code": uuid4().hex[:12]})
    async with sessions.begin() as session:
        await session.execute(
            text("UPDATE carts SET shipping_address = shipping_address || CAST(:there AS jsonb) WHERE id = :id"),
            {"there": there, "id": cart_id},
        )
    return cart_id


async def tried(sessions: Sessions, request: PlaceOrder) -> Placement:
    return await placement.place_or_refuse(sessions, request, provider="stripe")


async def asked(sessions: Sessions, partner: Partner, cart_id: UUID) -> TaxesAsked:
    return await TaxActivities(partner, sessions).ask(AskAboutTaxes(cart_id=cart_id))


async def order_of(sessions: Sessions, request: PlaceOrder) -> Any:
    async with sessions() as session:
        found = await session.execute(text("SELECT * FROM orders WHERE id = :id"), {"id": request.order_id})
        return found.one_or_none()


async def test_the_provider_is_asked_while_nothing_is_locked_and_the_order_keeps_what_it_said(
    resources: Resources, partner: Partner
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    async with a_shop(resources) as sessions:
        cart_id = await a_cart_to(sessions, product, UNTABLED)
        request = await to_place(sessions, cart_id)

        assert await tried(sessions, request) == Placement(asks_for_taxes=True)
        assert await order_of(sessions, request) is None
        assert await stock_of(sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
        assert await asked(sessions, partner, cart_id) == TaxesAsked(is_answered=True)
        placed = (await tried(sessions, request)).order
        order = await order_of(sessions, request)

    # 20.00 and 4.99 for shipping: ten percent are 2.00 and 0.49
    assert placed is not None
    assert placed.total == Money(2748, "USD")
    assert (order.tax, order.shipping_tax, order.included_tax) == (249, 49, 0)
    assert order.pricing["taxes"] == [
        {"name": "ten", "percent": "10", "base": 2499, "amount": 249, "is_included": False}
    ]
    assert (order.pricing["tax_source"], order.pricing["tax_reference"]) == ("provider", "calc_1")
    assert partner.asked[0].fingerprint not in json.dumps(order.pricing)


async def test_the_same_content_is_asked_about_once_and_another_one_anew(
    resources: Resources, partner: Partner
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    async with a_shop(resources) as sessions:
        cart_id = await a_cart_to(sessions, product, UNTABLED)
        assert await asked(sessions, partner, cart_id) == TaxesAsked(is_answered=True)
        assert await asked(sessions, partner, cart_id) == TaxesAsked(is_answered=False)
        request = await to_place(sessions, cart_id)
        async with sessions.begin() as session:
            await session.execute(text("UPDATE cart_items SET quantity = 3 WHERE cart_id = :id"), {"id": cart_id})

        assert await tried(sessions, request) == Placement(asks_for_taxes=True)
        await asked(sessions, partner, cart_id)
        placed = (await tried(sessions, request)).order

    assert [question.goods[0].amount for question in partner.asked] == [2000, 3000]
    assert placed is not None
    assert placed.total == Money(3499 + 349, "USD")


async def test_an_answer_does_not_hold_for_ever(resources: Resources, partner: Partner) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    async with a_shop(resources, answers_hold_seconds=60) as sessions:
        cart_id = await a_cart_to(sessions, product, UNTABLED)
        await asked(sessions, partner, cart_id)
        async with sessions.begin() as session:
            aged = "UPDATE tax_answers SET asked_at = asked_at - interval '61 seconds' WHERE fingerprint = :mark"
            await session.execute(text(aged), {"mark": partner.asked[0].fingerprint})

        assert await tried(sessions, await to_place(sessions, cart_id)) == Placement(asks_for_taxes=True)


async def test_while_the_provider_is_silent_nothing_is_sold(resources: Resources, partner: Partner) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    partner.is_silent = True
    async with a_shop(resources) as sessions:
        cart_id = await a_cart_to(sessions, product, TABLED)
        with pytest.raises(TaxProviderSilent):
            await asked(sessions, partner, cart_id)
        request = await to_place(sessions, cart_id, is_tax_provider_silent=True)
        refused = (await tried(sessions, request)).refused

        assert refused is not None
        assert refused.code == "tax_unavailable"
        assert await order_of(sessions, request) is None
        assert await stock_of(sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


@pytest.mark.matrix("checkout: the tax provider is silent for longer than eight seconds")
async def test_a_shop_may_go_by_its_own_table_instead_and_the_order_says_so(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    async with a_shop(resources, when_silent=WhenSilent.TABLE) as sessions:
        request = await to_place(sessions, await a_cart_to(sessions, product, TABLED), is_tax_provider_silent=True)
        await tried(sessions, request)
        order = await order_of(sessions, request)
        async with sessions() as session:
            told = await session.scalar(
                text("SELECT data FROM order_events WHERE order_id = :id AND type = 'order.placed'"),
                {"id": request.order_id},
            )

    # half of 20.00 and of 4.99
    assert (order.tax, order.total) == (1000 + 250, 2499 + 1250)
    assert (order.pricing["tax_source"], told["tax_source"]) == ("table_instead", "table_instead")


async def test_where_its_table_knows_nothing_either_nothing_is_sold(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    async with a_shop(resources, when_silent=WhenSilent.TABLE) as sessions:
        request = await to_place(sessions, await a_cart_to(sessions, product, UNTABLED), is_tax_provider_silent=True)
        refused = (await tried(sessions, request)).refused

        assert refused is not None
        assert refused.code == "tax_unknown"
        assert await order_of(sessions, request) is None


async def test_an_answer_counts_also_where_the_provider_falls_silent_after_it(
    resources: Resources, partner: Partner
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    async with a_shop(resources, when_silent=WhenSilent.TABLE) as sessions:
        cart_id = await a_cart_to(sessions, product, TABLED)
        await asked(sessions, partner, cart_id)
        request = await to_place(sessions, cart_id, is_tax_provider_silent=True)
        await tried(sessions, request)

        assert (await order_of(sessions, request)).pricing["tax_source"] == "provider"


async def test_where_the_provider_knows_nothing_of_the_place_nothing_is_sold(
    resources: Resources, partner: Partner
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    partner.knows_the_place = False
    async with a_shop(resources, when_silent=WhenSilent.TABLE) as sessions:
        cart_id = await a_cart_to(sessions, product, TABLED)
        await asked(sessions, partner, cart_id)

        with pytest.raises(Refusal) as refused:
            await place(sessions, await to_place(sessions, cart_id))

        assert refused.value.code == "tax_unknown"


async def test_a_cart_is_estimated_by_the_table_until_the_provider_was_asked(
    resources: Resources, partner: Partner
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    async with a_shop(resources) as sessions:
        cart_id = await a_cart_to(sessions, product, TABLED)
        async with sessions() as session:
            before = await baskets.priced(session, cart_id)
        await asked(sessions, partner, cart_id)
        async with sessions() as session:
            after = await baskets.priced(session, cart_id)

    assert before is not None
    assert after is not None
    assert (before.priced.totals.tax, before.priced.taxes.is_final) == (Money(1250, "USD"), False)
    assert (after.priced.totals.tax, after.priced.taxes.is_final) == (Money(249, "USD"), True)


@pytest.mark.parametrize(
    ("country", "asks", "discount", "total"),
    [(UNTABLED, 0, 0, 2499), (INCLUSIVE, 1, 181 + 45, 2499 - 226)],
)
async def test_exempt_customers_pay_no_tax_and_are_asked_about_only_where_prices_contain_one(
    resources: Resources, partner: Partner, country: str, asks: int, discount: int, total: int
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    async with resources.sessions.begin() as session:
        name = f"exempt{uuid4().hex[:12]}"
        user = User(username=name, email=f"{name}@example.com", password_hash="none")
        session.add(user)
        await session.flush()
        await taxes.exempt(session, user.id, "DE123", actor="admin:1")
    async with a_shop(resources) as sessions:
        cart_id = await a_cart_to(sessions, product, country, user_id=user.id)
        await asked(sessions, partner, cart_id)
        request = await to_place(sessions, cart_id)
        await tried(sessions, request)
        order = await order_of(sessions, request)

    assert len(partner.asked) == asks
    assert (order.tax, order.included_tax, order.discount, order.total) == (0, 0, discount, total)
    assert order.pricing["is_tax_exempt"]
