"""Price lists in Postgres: what it refuses by itself, and that many prices are as quickly read as few."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import baskets, customer_groups, price_lists
from db.customers import User
from db.price_lists import PRICES_OF_PRODUCT, Entry
from domain.customers import AccountStatus
from domain.errors import Refusal
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, stock_of, unique
from tests.support.orders import a_cart, place, to_place
from tests.support.statements import counted_statements


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("INSERT INTO price_lists (code, name) VALUES ('Not A Code', 'x')", "ck_price_lists_code_form"),
        ("INSERT INTO price_lists (code, name) VALUES ('x', '')", "ck_price_lists_name_not_empty"),
        (
            "INSERT INTO price_lists (code, name, valid_from, valid_until) VALUES ('x', 'x', now(), now())",
            "ck_price_lists_begins_before_it_ends",
        ),
        ("INSERT INTO price_list_groups VALUES ('a-list', 'nobody')", "fk_price_list_groups_group_code"),
        ("INSERT INTO price_list_entries VALUES (:id, 'USD', 'a-list', 0, 5)", "min_quantity_at_least_one"),
        ("INSERT INTO price_list_entries VALUES (:id, 'USD', 'a-list', 1, -1)", "amount_not_negative"),
        ("INSERT INTO price_list_entries VALUES (:id, 'EUR', 'a-list', 1, 5)", "fk_price_list_entries_base_price"),
        ("INSERT INTO price_list_entries VALUES (:id, 'USD', 'nothing', 1, 5)", "fk_price_list_entries_list_code"),
        ("INSERT INTO customer_groups (code, name) VALUES ('UPPER', 'x')", "ck_customer_groups_code_form"),
    ],
)
async def test_postgres_refuses_what_no_list_may_say(resources: Resources, statement: str, constraint: str) -> None:
    product = await a_product(resources.sessions)
    async with resources.sessions() as session:
        await session.execute(text("INSERT INTO price_lists (code, name) VALUES ('a-list', 'A list')"))
        with pytest.raises(IntegrityError, match=constraint):
            await session.execute(text(statement), {"id": product.variant_id} if ":id" in statement else {})


async def test_among_very_many_prices_those_of_a_variant_are_found_by_an_index(resources: Resources) -> None:
    product = await a_product(resources.sessions, name=unique("Among many"))
    async with resources.sessions() as session:
        await session.execute(
            text("INSERT INTO price_lists (code, name) SELECT 'many-' || n, 'Many' FROM generate_series(1, 200) AS n")
        )
        await session.execute(
            text(
                """
                INSERT INTO price_list_entries
                SELECT variant_id, currency, 'many-' || n, 1, 5
                FROM (SELECT * FROM prices ORDER BY variant_id LIMIT 100) AS priced, generate_series(1, 200) AS n
                ON CONFLICT DO NOTHING
                """
            )
        )
        await session.execute(text("ANALYZE price_list_entries"))
        wanted = {"product_id": product.product_id, "currency": "USD", "user_id": None}
        plan = "\n".join(await session.scalars(text(f"EXPLAIN {PRICES_OF_PRODUCT.text}"), wanted))

    assert "pk_price_list_entries" in plan
    assert "Seq Scan on price_list_entries" not in plan


async def a_list(resources: Resources, product: AProduct, *steps: tuple[int, int], **fields: Any) -> str:
    """A list that asks so much from so many units on."""
    code, groups = f"list-{uuid4().hex[:12]}", fields.pop("groups", [])
    entries = [
        Entry(
            pointer="",
            variant_id=product.variant_id,
            sku=None,
            currency=product.price.currency,
            min_quantity=quantity,
            amount=amount,
        )
        for quantity, amount in steps
    ]
    async with resources.sessions.begin() as session:
        await price_lists.create(session, code, {"name": "A list", **fields}, groups)
        await price_lists.write_entries(session, code, entries, expected=None)
    return code


async def a_member(resources: Resources) -> tuple[UUID, str]:
    """Somebody who is in a group, and its code."""
    code = f"group-{uuid4().hex[:12]}"
    async with resources.sessions.begin() as session:
        user = User(username=code, email=f"{code}@example.com", password_hash="none", status=AccountStatus.ACTIVE)
        session.add(user)
        await session.flush()
        await customer_groups.create(session, code=code, name="Shops")
        await customer_groups.put_in(session, user.id, code)
        return user.id, code


async def lines_of(resources: Resources, cart_id: UUID) -> list[tuple[int, int | None, str | None]]:
    """Unit price, base price and list of each line."""
    async with resources.sessions() as session:
        with counted_statements(resources.engine) as statements:
            found = await baskets.priced(session, cart_id)
    assert found is not None
    assert len(statements) == 1
    lines = [priced.line for priced in found.priced.lines]
    return [
        (line.unit_price.minor, line.base_price.minor if line.base_price else None, line.price_list) for line in lines
    ]


async def test_a_cart_has_the_prices_of_its_shopper_and_of_its_quantities_in_one_statement(
    resources: Resources,
) -> None:
    product, other = await a_product(resources.sessions, price="10.00"), await a_product(resources.sessions)
    user_id, group = await a_member(resources)
    sale, agreed = (
        await a_list(resources, product, (5, 900)),
        await a_list(resources, product, (1, 850), groups=[group]),
    )

    few = await a_cart(resources.sessions, (product.variant_id, 4), (other.variant_id, 1))
    many = await a_cart(resources.sessions, (product.variant_id, 5))
    of_member = await a_cart(resources.sessions, (product.variant_id, 5), user_id=user_id)

    assert await lines_of(resources, few) == [(1000, None, None), (1999, None, None)]
    assert await lines_of(resources, many) == [(900, 1000, sale)]
    assert await lines_of(resources, of_member) == [(850, 1000, agreed)]


async def test_an_order_keeps_the_prices_of_the_moment_at_which_it_was_placed(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=9)
    code = await a_list(resources, product, (1, 900))
    cart = await a_cart(resources.sessions, (product.variant_id, 3))
    request = await to_place(resources.sessions, cart, expected_total_minor=2700 + 499)

    with counted_statements(resources.engine) as statements:
        await place(resources.sessions, request)
    async with resources.sessions.begin() as session:
        await price_lists.change(session, code, {"is_active": False}, None, expected=None)

    assert len(statements) == 5
    async with resources.sessions() as session:
        row = (
            await session.execute(
                text("SELECT unit_price, line_total, base_price, price_list FROM order_lines WHERE order_id = :id"),
                {"id": request.order_id},
            )
        ).one()
    assert tuple(row) == (900, 2700, 1000, code)


async def test_a_list_that_ended_meanwhile_is_a_changed_price_and_nothing_is_reserved(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=9)
    code = await a_list(resources, product, (1, 900))
    cart = await a_cart(resources.sessions, (product.variant_id, 1))
    assert await lines_of(resources, cart) == [(900, 1000, code)]
    async with resources.sessions.begin() as session:
        ended = {"valid_from": datetime(2020, 1, 1, tzinfo=UTC), "valid_until": datetime(2020, 2, 1, tzinfo=UTC)}
        await price_lists.change(session, code, ended, None, expected=None)

    request = await to_place(resources.sessions, cart, expected_total_minor=900 + 499)
    with pytest.raises(Refusal) as refused:
        await place(resources.sessions, request)

    assert (refused.value.code, refused.value.facts["total"]["amount"]) == ("price_changed", "14.99")
    assert (await stock_of(resources.sessions, product.variant_id)).reserved == 0
