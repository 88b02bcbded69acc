"""Price lists: other prices for some customers, quantities or times. Which one wins, ``domain.price_lists`` says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import asyncpg
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    RowMapping,
    String,
    delete,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from db.catalog import IS_IN_THE_SHOP, Variant
from db.catalog_changes import Versions, stale
from domain.errors import Refusal, unacceptable
from domain.money import Money
from domain.price_lists import ListPrice, PriceList

MOST_ERRORS = 100
"""Of one request that are told."""


class PriceListRow(Base):
    __tablename__ = "price_lists"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    overrides: Mapped[bool] = mapped_column(server_default=text("false"))
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("code ~ '^[a-z0-9][a-z0-9_-]{0,49}$'", name="code_form"),
        CheckConstraint("name <> ''", name="name_not_empty"),
        CheckConstraint("valid_until > valid_from", name="begins_before_it_ends"),
    )


class PriceListGroup(Base):
    """For whom a list is; one without any is for everybody."""

    __tablename__ = "price_list_groups"

    list_code: Mapped[str] = mapped_column(ForeignKey("price_lists.code", ondelete="CASCADE"), primary_key=True)
    group_code: Mapped[str] = mapped_column(ForeignKey("customer_groups.code"), primary_key=True)

    __table_args__ = (Index("ix_price_list_groups_group_code", "group_code"),)


class PriceListEntry(Base):
    """What a list asks for one unit from so many on; only where the variant has a base price in the currency.

    A variant that is not sold in the currency any more takes its entries along.
    """

    __tablename__ = "price_list_entries"

    variant_id: Mapped[UUID] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    list_code: Mapped[str] = mapped_column(ForeignKey("price_lists.code", ondelete="CASCADE"), primary_key=True)
    min_quantity: Mapped[int] = mapped_column(primary_key=True, server_default=text("1"))
    amount: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint("min_quantity >= 1", name="min_quantity_at_least_one"),
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        ForeignKeyConstraint(
            ["variant_id", "currency"],
            ["prices.variant_id", "prices.currency"],
            name="fk_price_list_entries_base_price",
            ondelete="CASCADE",
        ),
        Index("ix_price_list_entries_of_list", "list_code", "variant_id", "currency", "min_quantity"),
    )


GROUPS = func.array(
    select(PriceListGroup.group_code)
    .where(PriceListGroup.list_code == PriceListRow.code)
    .order_by(PriceListGroup.group_code)
    .correlate(PriceListRow)
    .scalar_subquery(),
    type_=ARRAY(String),
).label("groups")
SHOWN = (
    PriceListRow.code,
    PriceListRow.name,
    PriceListRow.priority,
    PriceListRow.overrides,
    PriceListRow.valid_from,
    PriceListRow.valid_until,
    PriceListRow.is_active,
    PriceListRow.version,
    GROUPS,
)


async def page(session: AsyncSession, *, limit: int, after: str | None) -> Sequence[RowMapping]:
    """By their codes."""
    wanted = select(*SHOWN).order_by(PriceListRow.code).limit(limit)
    wanted = wanted if after is None else wanted.where(PriceListRow.code > after)
    return (await session.execute(wanted)).mappings().all()


async def by_code(session: AsyncSession, code: str) -> RowMapping:
    """Refuses ``not_found``."""
    found = (await session.execute(select(*SHOWN).where(PriceListRow.code == code))).mappings().one_or_none()
    if found is None:
        raise _no_such_list(code)
    return found


async def create(session: AsyncSession, code: str, fields: Mapping[str, Any], groups: Sequence[str]) -> None:
    """Refuses ``price_list_exists``, and groups that there are not."""
    made = insert(PriceListRow).values(code=code, **fields).on_conflict_do_nothing().returning(PriceListRow.code)
    if await _possible(session, made) is None:
        raise Refusal("price_list_exists", f"There is a price list {code}.")
    await _be_for(session, code, groups)


async def change(
    session: AsyncSession, code: str, fields: Mapping[str, Any], groups: Sequence[str] | None, *, expected: Versions
) -> None:
    """Refuses ``precondition_failed`` when its version is not an expected one."""
    await _next_version(session, code, fields, expected)
    if groups is not None:
        await session.execute(delete(PriceListGroup).where(PriceListGroup.list_code == code))
        await _be_for(session, code, groups)


async def _be_for(session: AsyncSession, code: str, groups: Sequence[str]) -> None:
    if groups:
        rows = [{"list_code": code, "group_code": group} for group in groups]
        await _possible(session, insert(PriceListGroup).values(rows).returning(PriceListGroup.list_code))


async def _next_version(session: AsyncSession, code: str, fields: Mapping[str, Any], expected: Versions) -> None:
    """Change the list when it is at an expected version; it is this transaction's until it ends."""
    changed = (
        update(PriceListRow)
        .where(PriceListRow.code == code)
        .values(**fields, version=PriceListRow.version + 1, updated_at=func.now())
        .returning(PriceListRow.code)
    )
    if expected is not None:
        changed = changed.where(PriceListRow.version.in_(expected))
    if await _possible(session, changed) is None:
        await by_code(session, code)
        raise stale()


async def _possible(session: AsyncSession, statement: Any) -> str | None:
    try:
        code: str | None = await session.scalar(statement)
        return code
    except IntegrityError as error:
        _refuse(error)


def _refuse(error: IntegrityError) -> NoReturn:
    match getattr(error.orig.__cause__ if error.orig else None, "constraint_name", None):
        case "ck_price_lists_begins_before_it_ends":
            raise unacceptable("/valid_until", "must be later than valid_from") from error
        case "fk_price_list_groups_group_code":
            raise unacceptable("/groups", "There is no such customer group.") from error
    raise error


def _no_such_list(code: str) -> Refusal:
    return Refusal("not_found", f"There is no price list {code}.")


# --- entries --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A price of a list, or, without an amount, one that is to go; the variant is known by its id or its SKU."""

    pointer: str
    variant_id: UUID | None
    sku: str | None
    currency: str
    min_quantity: int
    amount: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    created: int
    updated: int
    unchanged: int
    removed: int


async def write_entries(session: AsyncSession, code: str, entries: Sequence[Entry], *, expected: Versions) -> Written:
    """All of them or none: copied beside the tables, looked at there, then merged in one statement."""
    await _next_version(session, code, {}, expected)
    raw: Any = (await (await session.connection()).get_raw_connection()).driver_connection
    await raw.execute(STAGED)
    await raw.copy_records_to_table(
        "staged_entries",
        records=[
            (place, entry.variant_id, entry.sku, entry.currency, entry.min_quantity, entry.amount)
            for place, entry in enumerate(entries)
        ],
    )
    await raw.execute(RECOGNISE)
    if wrong := await raw.fetch(WRONG, MOST_ERRORS):
        errors = [{"pointer": entries[row["place"]].pointer, "detail": row["detail"]} for row in wrong]
        raise Refusal("validation_failed", "Some entries are not acceptable.", errors=errors)
    try:
        merged = await raw.fetchrow(MERGE, code)
    except asyncpg.ForeignKeyViolationError:  # it was taken away while this looked
        raise unacceptable("/items", "A variant is not sold in the currency any more.") from None
    set_prices = sum(entry.amount is not None for entry in entries)
    return Written(
        created=merged["created"],
        updated=merged["updated"],
        unchanged=set_prices - merged["created"] - merged["updated"],
        removed=merged["removed"],
    )


STAGED = """
    CREATE TEMP TABLE IF NOT EXISTS staged_entries (
        place int, variant_id uuid, sku text, currency text, min_quantity int, amount bigint
    ) ON COMMIT DELETE ROWS;
    DELETE FROM staged_entries
"""

RECOGNISE = """
    UPDATE staged_entries SET variant_id = variants.id FROM variants
    WHERE staged_entries.variant_id IS NULL AND variants.sku = staged_entries.sku
"""

WRONG = """
    SELECT place, detail FROM (
        SELECT place, CASE
            WHEN variants.id IS NULL THEN 'There is no such variant.'
            WHEN prices.amount IS NULL AND staged_entries.amount IS NOT NULL
                THEN 'It has no base price in ' || staged_entries.currency || '.'
            WHEN count(*) OVER (PARTITION BY variants.id, staged_entries.currency, min_quantity) > 1
                THEN 'It stands here twice.'
        END AS detail
        FROM staged_entries
        LEFT JOIN variants ON variants.id = staged_entries.variant_id
        LEFT JOIN prices ON prices.variant_id = variants.id AND prices.currency = staged_entries.currency
    ) AS looked_at
    WHERE detail IS NOT NULL ORDER BY place LIMIT $1
"""

MERGE = """
    WITH merged AS (
        INSERT INTO price_list_entries (list_code, variant_id, currency, min_quantity, amount)
        SELECT CAST($1 AS varchar), variant_id, currency, min_quantity, amount FROM staged_entries
        WHERE amount IS NOT NULL AND NOT EXISTS (
            SELECT FROM price_list_entries AS known
            WHERE known.list_code = CAST($1 AS varchar) AND known.variant_id = staged_entries.variant_id
              AND known.currency = staged_entries.currency AND known.min_quantity = staged_entries.min_quantity
              AND known.amount = staged_entries.amount
        )
        ON CONFLICT (variant_id, currency, list_code, min_quantity) DO UPDATE SET amount = excluded.amount
        RETURNING xmax = 0 AS is_new
    ), removed AS (
        DELETE FROM price_list_entries USING staged_entries
        WHERE staged_entries.amount IS NULL AND list_code = CAST($1 AS varchar)
          AND price_list_entries.variant_id = staged_entries.variant_id
          AND price_list_entries.currency = staged_entries.currency
          AND price_list_entries.min_quantity = staged_entries.min_quantity
        RETURNING 1
    )
    SELECT count(*) FILTER (WHERE is_new) AS created, count(*) FILTER (WHERE NOT is_new) AS updated,
           (SELECT count(*) FROM removed) AS removed
    FROM merged
"""

POSITION = (PriceListEntry.variant_id, PriceListEntry.currency, PriceListEntry.min_quantity)


async def entries_page(
    session: AsyncSession, code: str, *, limit: int, after: tuple[UUID, str, int] | None
) -> Sequence[RowMapping]:
    """Refuses ``not_found``."""
    await by_code(session, code)
    wanted = (
        select(*POSITION, PriceListEntry.amount, Variant.sku)
        .join(Variant, Variant.id == PriceListEntry.variant_id)
        .where(PriceListEntry.list_code == code)
        .order_by(*POSITION)
        .limit(limit)
    )
    if after is not None:
        wanted = wanted.where(tuple_(*POSITION) > tuple_(*after))
    return (await session.execute(wanted)).mappings().all()


# --- what a shopper is asked ----------------------------------------------------------------------------------------


def list_prices_of(*, variant: str, currency: str, user: str) -> str:
    """SQL for what the lists ask for a variant, as JSON for :func:`list_prices`; the names are those of its query.

    Lists of groups in which the shopper is not are left out here already, since a shop may have one for each of its
    business customers.
    """
    return f"""(
        SELECT jsonb_agg(jsonb_build_array(
            price_lists.code, priority, overrides, valid_from, valid_until, min_quantity, price_list_entries.amount,
            ARRAY(SELECT group_code FROM price_list_groups WHERE list_code = price_lists.code)
        ))
        FROM price_list_entries JOIN price_lists ON price_lists.code = list_code
        WHERE price_list_entries.variant_id = {variant} AND price_list_entries.currency = {currency} AND is_active
          AND (
              NOT EXISTS (SELECT FROM price_list_groups WHERE list_code = price_lists.code)
              OR EXISTS (SELECT FROM price_list_groups JOIN group_members USING (group_code)
                         WHERE list_code = price_lists.code AND user_id = {user})
          )
    )"""  # noqa: S608 (constant text)


def groups_of(user: str) -> str:
    """SQL for the codes of the groups that somebody is in."""
    return f"ARRAY(SELECT group_code FROM group_members WHERE user_id = {user})"  # noqa: S608 (constant text)


def list_prices(told: Sequence[Sequence[Any]] | None, currency: str) -> list[ListPrice]:
    """What :func:`list_prices_of` has found."""
    return [
        ListPrice(
            of=PriceList(
                code=code,
                priority=priority,
                groups=frozenset(groups),
                valid_from=valid_from and datetime.fromisoformat(valid_from),
                valid_until=valid_until and datetime.fromisoformat(valid_until),
                overrides=overrides,
            ),
            min_quantity=min_quantity,
            price=Money(amount, currency),
        )
        for code, priority, overrides, valid_from, valid_until, min_quantity, amount, groups in told or ()
    ]


async def prices_of_product(
    session: AsyncSession, product_id: UUID, *, currency: str, user_id: UUID | None
) -> Sequence[RowMapping]:
    """Its variants that are sold in the currency, with their base prices and what lists ask of this shopper."""
    wanted = {"product_id": product_id, "currency": currency, "user_id": user_id}
    return (await session.execute(PRICES_OF_PRODUCT, wanted)).mappings().all()


PRICES_OF_PRODUCT = text(
    f"""
    SELECT variants.id AS variant_id, variants.sku, prices.amount, now() AS at,
           {groups_of("CAST(:user_id AS uuid)")} AS groups,
           {list_prices_of(variant="variants.id", currency="prices.currency", user="CAST(:user_id AS uuid)")} AS lists
    FROM products
    JOIN variants ON variants.product_id = products.id
    LEFT JOIN prices ON prices.variant_id = variants.id AND prices.currency = :currency
    WHERE products.id = :product_id AND {IS_IN_THE_SHOP}
    ORDER BY variants.position, variants.id
    """  # noqa: S608 (constant text)
)
