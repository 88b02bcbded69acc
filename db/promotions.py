"""Promotions, their codes, and how often each was used."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Row, RowMapping, func, insert, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, one_of
from db.customer_groups import CustomerGroup
from domain.baskets import Basket
from domain.errors import Refusal, unacceptable
from domain.promotions import Applied, Combination, Items, Promotion, PromotionIndex

WHOLE = TypeAdapter(Promotion)
RULE = {"benefit", "items", "minimums", "groups", "is_for_first_order"}
"""What of a promotion is kept as one document; the rest are columns."""


class PromotionRow(Base):
    """A rule about prices. Those with a ``usage_limit`` count their uses here, whoever uses them."""

    __tablename__ = "promotions"

    id: Mapped[Id]
    name: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    rule: Mapped[dict[str, Any]] = mapped_column(JSONB)
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    needs_code: Mapped[bool]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    combination: Mapped[str] = mapped_column(server_default=Combination.WITH_OTHERS)
    usage_limit: Mapped[int | None]
    usage_limit_per_customer: Mapped[int | None]
    uses: Mapped[int] = mapped_column(server_default=text("0"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("name <> ''", name="name_not_empty"),
        CheckConstraint("ends_at > starts_at", name="begins_before_it_ends"),
        CheckConstraint(one_of("combination", Combination), name="combination"),
        CheckConstraint("usage_limit_per_customer > 0", name="usage_limit_per_customer_positive"),
        CheckConstraint("uses BETWEEN 0 AND coalesce(usage_limit, 0)", name="uses_within_limit"),
        Index("ix_promotions_limited", "id", postgresql_where=text("usage_limit IS NOT NULL")),
    )


class PromotionCode(Base):
    """What customers type to get a promotion; those with a ``usage_limit`` count their uses."""

    __tablename__ = "promotion_codes"

    code: Mapped[str] = mapped_column(primary_key=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotions.id", ondelete="CASCADE"), index=True)
    usage_limit: Mapped[int | None]
    uses: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("code = upper(btrim(code)) AND code <> ''", name="code_form"),
        CheckConstraint("uses BETWEEN 0 AND coalesce(usage_limit, 0)", name="uses_within_limit"),
    )


class PromotionCustomer(Base):
    """How often a customer has used a promotion of which each may use only so many."""

    __tablename__ = "promotion_customers"

    customer_hash: Mapped[bytes] = mapped_column(primary_key=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotions.id", ondelete="CASCADE"), primary_key=True)
    uses: Mapped[int]
    usage_limit: Mapped[int]
    """What held when it was used last."""

    __table_args__ = (CheckConstraint("uses BETWEEN 0 AND usage_limit", name="uses_within_limit"),)


class PromotionUse(Base):
    """A promotion that an order was placed with: one use, until the order is cancelled."""

    __tablename__ = "promotion_uses"

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotions.id"), primary_key=True, index=True)
    code: Mapped[str | None]
    customer_hash: Mapped[bytes | None]
    amount: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[Now]
    given_back_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("amount > 0", name="amount_positive"),)


class PricingRules(Base):
    """One row: whoever finds the version that they know has all rules about prices as they are."""

    __tablename__ = "pricing_rules"

    is_only: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    version: Mapped[UUID]
    """Random, so that a process which knows several shops never takes one's rules for the other's."""

    __table_args__ = (CheckConstraint("is_only", name="one_row"),)


def customer_of(table: str) -> str:
    """SQL for who buys, as far as limits per customer know: an account, or a guest's e-mail address, as a hash."""
    whose = f"coalesce('user:' || {table}.user_id, 'guest:' || lower(btrim({table}.email)))"
    return f"sha256(convert_to({whose}, 'UTF8'))"


# --- the rules, as prices are made by them


@dataclass(frozen=True, slots=True)
class Rules:
    """The promotions that are not over, parsed."""

    automatic: tuple[Promotion, ...]
    index: PromotionIndex
    """Of the automatic ones."""
    by_code: Mapping[UUID, Promotion]

    def for_basket(self, basket: Basket, *, is_whole: bool) -> list[Promotion]:
        """Those that could apply, and, where the ``whole`` trace is wanted, those that find nothing in the basket."""
        named = (self.by_code.get(code.promotion_id) for code in basket.codes if code.promotion_id is not None)
        automatic = self.automatic if is_whole else self.index.for_lines(basket.lines)
        return [*automatic, *(promotion for promotion in named if promotion is not None)]


_known: OrderedDict[UUID, Rules] = OrderedDict()
MOST_KNOWN = 8


async def rules(session: AsyncSession, version: UUID) -> Rules:
    """The rules of this version, which the asker has just read; read anew when this process does not know them."""
    if version not in _known:
        version, found = await _read(session)
        _known[version] = found
        while len(_known) > MOST_KNOWN:
            _known.popitem(last=False)
    return _known[version]


async def _read(session: AsyncSession) -> tuple[UUID, Rules]:
    rows = (await session.execute(RULES)).all()
    promotions = [promotion_of(row) for row in rows if row.id is not None]
    automatic = tuple(promotion for promotion in promotions if not promotion.needs_code)
    by_code = {each.id: each for each in promotions if each.needs_code}
    return rows[0].rules_version, Rules(automatic, PromotionIndex(automatic), by_code)


RULES = text(
    """
    SELECT pricing_rules.version AS rules_version, promotions.*
    FROM pricing_rules
    LEFT JOIN promotions ON is_active AND (ends_at IS NULL OR ends_at > now() - interval '30 days')
    ORDER BY promotions.id
    """
)


def promotion_of(row: Row[Any] | PromotionRow) -> Promotion:
    return promotion_in({"rule": row.rule, **{name: getattr(row, name) for name in BESIDE_THE_RULE}})


def promotion_in(row: RowMapping | Mapping[str, Any]) -> Promotion:
    return WHOLE.validate_python({**row["rule"], **{name: row[name] for name in BESIDE_THE_RULE}})


BESIDE_THE_RULE = ("id", "name", "starts_at", "ends_at", "needs_code", "priority", "combination")


# --- uses


@dataclass(frozen=True, kw_only=True)
class NotTaken:
    promotion_id: UUID
    is_used_up_by_customer: bool


async def take(session: AsyncSession, order_id: UUID, applied: Sequence[Applied]) -> list[NotTaken]:
    """Count a use of each for the order that was just placed; those that were used up meanwhile.

    Where any was, the transaction must not be committed: of the others a use is counted until then. Rows are locked
    in the order of their keys, so that two orders with the same promotions cannot deadlock.
    """
    found = await session.execute(
        TAKE,
        {
            "order_id": order_id,
            "promotions": [each.promotion.id for each in applied],
            "codes": [each.code for each in applied],
            "amounts": [each.amount.minor for each in applied],
        },
    )
    return [
        NotTaken(promotion_id=row.promotion_id, is_used_up_by_customer=not row.is_taken_by_customer)
        for row in found
        if not (row.is_taken and row.is_taken_by_customer)
    ]


TAKE = text(
    f"""
    WITH wanted AS (
        SELECT * FROM unnest(CAST(:promotions AS uuid[]), CAST(:codes AS text[]), CAST(:amounts AS bigint[]))
                      AS wanted (promotion_id, code, amount)
    ), buyer AS (
        SELECT {customer_of("orders")} AS customer_hash FROM orders WHERE id = :order_id
    ), limited AS (
        SELECT id, uses, usage_limit FROM promotions
        WHERE id IN (SELECT promotion_id FROM wanted) AND usage_limit IS NOT NULL
        ORDER BY id FOR UPDATE
    ), counted AS (
        UPDATE promotions SET uses = limited.uses + 1 FROM limited
        WHERE promotions.id = limited.id AND limited.uses < limited.usage_limit
        RETURNING promotions.id
    ), limited_codes AS (
        SELECT code, uses, usage_limit FROM promotion_codes
        WHERE code IN (SELECT code FROM wanted) AND usage_limit IS NOT NULL
        ORDER BY code FOR UPDATE
    ), counted_codes AS (
        UPDATE promotion_codes SET uses = limited_codes.uses + 1 FROM limited_codes
        WHERE promotion_codes.code = limited_codes.code AND limited_codes.uses < limited_codes.usage_limit
        RETURNING promotion_codes.code
    ), limited_for_each AS (
        SELECT id, usage_limit_per_customer FROM promotions
        WHERE id IN (SELECT promotion_id FROM wanted) AND usage_limit_per_customer IS NOT NULL
    ), counted_for_customer AS (
        INSERT INTO promotion_customers (customer_hash, promotion_id, uses, usage_limit)
        SELECT customer_hash, id, 1, usage_limit_per_customer FROM limited_for_each, buyer ORDER BY id
        ON CONFLICT (customer_hash, promotion_id)
        DO UPDATE SET uses = promotion_customers.uses + 1, usage_limit = excluded.usage_limit
        WHERE promotion_customers.uses < excluded.usage_limit
        RETURNING promotion_id
    ), noted AS (
        INSERT INTO promotion_uses (order_id, promotion_id, code, customer_hash, amount)
        SELECT :order_id, promotion_id, code, customer_hash, amount FROM wanted, buyer
    )
    SELECT promotion_id,
           (promotion_id NOT IN (SELECT id FROM limited) OR promotion_id IN (SELECT id FROM counted))
               AND (code IS NULL OR code NOT IN (SELECT code FROM limited_codes)
                    OR code IN (SELECT code FROM counted_codes)) AS is_taken,
           promotion_id NOT IN (SELECT id FROM limited_for_each)
               OR promotion_id IN (SELECT promotion_id FROM counted_for_customer) AS is_taken_by_customer
    FROM wanted
    """  # noqa: S608 (constant text)
)


async def give_back(session: AsyncSession, order_id: UUID) -> None:
    """The order came to nothing: its uses are free again. Repeated, it changes nothing."""
    await session.execute(GIVE_BACK, {"order_id": order_id})


GIVE_BACK = text(
    """
    WITH given AS (
        UPDATE promotion_uses SET given_back_at = now() WHERE order_id = :order_id AND given_back_at IS NULL
        RETURNING promotion_id, code, customer_hash
    ), locked AS (
        SELECT id, uses FROM promotions
        WHERE id IN (SELECT promotion_id FROM given) AND usage_limit IS NOT NULL ORDER BY id FOR UPDATE
    ), of_promotions AS (
        UPDATE promotions SET uses = locked.uses - 1 FROM locked WHERE promotions.id = locked.id
    ), locked_codes AS (
        SELECT code, uses FROM promotion_codes
        WHERE code IN (SELECT code FROM given) AND usage_limit IS NOT NULL ORDER BY code FOR UPDATE
    ), of_codes AS (
        UPDATE promotion_codes SET uses = locked_codes.uses - 1 FROM locked_codes
        WHERE promotion_codes.code = locked_codes.code
    )
    UPDATE promotion_customers SET uses = promotion_customers.uses - 1 FROM given
    WHERE promotion_customers.promotion_id = given.promotion_id
      AND promotion_customers.customer_hash = given.customer_hash AND promotion_customers.uses > 0
    """
)


# --- what staff does


@dataclass(frozen=True, kw_only=True)
class NewCode:
    code: str
    usage_limit: int | None = None


async def create(session: AsyncSession, promotion: Promotion, codes: Sequence[NewCode], **limits: Any) -> None:
    """Write the promotion down with its first codes; refuses ``code_taken``."""
    await session.execute(insert(PromotionRow).values(**_columns(promotion), id=promotion.id, **limits))
    await add_codes(session, promotion.id, codes)


def _columns(promotion: Promotion) -> dict[str, Any]:
    return {
        "name": promotion.name,
        "rule": WHOLE.dump_python(promotion, mode="json", include=RULE),
        "starts_at": promotion.starts_at,
        "ends_at": promotion.ends_at,
        "needs_code": promotion.needs_code,
        "priority": promotion.priority,
        "combination": promotion.combination,
    }


async def add_codes(session: AsyncSession, promotion_id: UUID, codes: Sequence[NewCode]) -> None:
    """Refuses ``code_taken`` when one of them stands for another promotion; its own ones stay as they are."""
    if not codes:
        return
    rows = [{"promotion_id": promotion_id, "code": each.code, "usage_limit": each.usage_limit} for each in codes]
    await session.execute(upsert(PromotionCode).values(rows).on_conflict_do_nothing())
    wanted = [each.code for each in codes]
    others = await session.scalars(
        select(PromotionCode.code).where(PromotionCode.code.in_(wanted), PromotionCode.promotion_id != promotion_id)
    )
    if taken := sorted(others):
        raise Refusal("code_taken", f"{', '.join(taken)} stands for another promotion.", codes=taken)


async def change(session: AsyncSession, promotion: Promotion, row: PromotionRow, **otherwise: Any) -> None:
    """Make the locked row what the promotion has become; refuses limits that do not fit its uses."""
    for name, value in {**_columns(promotion), **otherwise}.items():
        setattr(row, name, value)
    row.version += 1
    row.updated_at = func.now()
    try:
        async with session.begin_nested():
            await session.flush()
    except IntegrityError:
        raise unacceptable("/usage_limit", f"is less than the {row.uses} times that it was used") from None
    await session.refresh(row)


async def locked(session: AsyncSession, promotion_id: UUID) -> PromotionRow:
    found = await session.get(PromotionRow, promotion_id, with_for_update=True, populate_existing=True)
    if found is None:
        raise no_such_promotion()
    return found


async def unknown(session: AsyncSession, items: Items) -> dict[str, UUID]:
    """Of each kind of thing that is named, one that the shop does not have."""
    named = {"products": items.products, "variants": items.variants, "categories": items.categories}
    found = await session.execute(UNKNOWN, {kind: sorted(ids) for kind, ids in named.items()})
    return {row.kind: row.id for row in found}


UNKNOWN = text(
    " UNION ALL ".join(
        f"(SELECT '{kind}' AS kind, wanted.id FROM unnest(CAST(:{kind} AS uuid[])) AS wanted (id) "  # noqa: S608
        f"WHERE NOT EXISTS (SELECT FROM {kind} WHERE {kind}.id = wanted.id) LIMIT 1)"
        for kind in ("products", "variants", "categories")
    )
)


async def unknown_groups(session: AsyncSession, groups: Collection[str]) -> list[str]:
    known = await session.scalars(select(CustomerGroup.code).where(CustomerGroup.code.in_(groups)))
    return sorted(set(groups).difference(known))


async def one(session: AsyncSession, promotion_id: UUID) -> RowMapping:
    found = (await session.execute(ONE, {"id": promotion_id})).mappings().one_or_none()
    if found is None:
        raise no_such_promotion()
    return found


def no_such_promotion() -> Refusal:
    return Refusal("not_found", "There is no such promotion.")


SHOWN = """
    SELECT promotions.*,
           (SELECT count(*) FROM promotion_codes WHERE promotion_id = promotions.id) AS codes,
           (
               SELECT count(*) FROM promotion_uses
               WHERE promotion_id = promotions.id AND given_back_at IS NULL
           ) AS used
    FROM promotions
"""
ONE = text(f"{SHOWN} WHERE id = :id")
PAGE = text(
    f"{SHOWN} WHERE (CAST(:before AS uuid) IS NULL OR id < :before) "
    "AND (CAST(:is_active AS boolean) IS NULL OR is_active = :is_active) ORDER BY id DESC LIMIT :limit"
)


async def page(
    session: AsyncSession, *, limit: int, before: UUID | None, is_active: bool | None
) -> Sequence[RowMapping]:
    """Promotions, newest first, below ``before``."""
    found = await session.execute(PAGE, {"limit": limit, "before": before, "is_active": is_active})
    return found.mappings().all()


async def codes_of(session: AsyncSession, promotion_id: UUID, *, limit: int, after: str) -> Sequence[RowMapping]:
    """The promotion's codes behind ``after``, in their order."""
    found = await session.execute(
        text(
            """
            SELECT code, usage_limit, created_at, (
                SELECT count(*) FROM promotion_uses
                WHERE promotion_uses.promotion_id = promotion_codes.promotion_id
                  AND promotion_uses.code = promotion_codes.code AND given_back_at IS NULL
            ) AS used
            FROM promotion_codes
            WHERE promotion_id = :promotion_id AND code > :after ORDER BY code LIMIT :limit
            """
        ),
        {"promotion_id": promotion_id, "limit": limit, "after": after},
    )
    return found.mappings().all()
