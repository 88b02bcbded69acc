"""The table of taxes: where which rates hold, whom they spare, and what of it matters for a basket."""

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Numeric, RowMapping, UniqueConstraint, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import audit_log
from db.base import Base, Id, Now
from db.catalog_changes import stale
from domain.baskets import Destination
from domain.errors import Refusal, unacceptable
from domain.taxes import PERCENT_DIGITS, Rate, Region, TaxMode, TaxPolicy, TaxRules, plain

Row = TypeVar("Row", "TaxRegion", "TaxRate")
Versions = Collection[int] | None
"""The versions that the asker knows; ``None`` when any will do."""


class TaxRegion(Base):
    """Where the same rates hold; empty texts stand for all regions and all postal codes of the country."""

    __tablename__ = "tax_regions"

    id: Mapped[Id]
    country: Mapped[str]
    region: Mapped[str] = mapped_column(server_default=text("''"))
    postal_prefix: Mapped[str] = mapped_column(server_default=text("''"))
    is_inclusive: Mapped[bool]
    """Prices contain their tax here."""
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        UniqueConstraint("country", "region", "postal_prefix"),
        CheckConstraint("country ~ '^[A-Z]{2}$'", name="country_code"),
        CheckConstraint("region ~ '^[A-Z0-9]{0,50}$'", name="region_form"),
        CheckConstraint("postal_prefix ~ '^[A-Z0-9]{0,20}$'", name="postal_prefix_form"),
    )


class TaxRate(Base):
    """One tax of a region by its name; rates of one class add up."""

    __tablename__ = "tax_rates"

    id: Mapped[Id]
    region_id: Mapped[UUID] = mapped_column(ForeignKey("tax_regions.id", ondelete="CASCADE"))
    tax_class: Mapped[str] = mapped_column(server_default=text("'standard'"))
    name: Mapped[str]
    percent: Mapped[Decimal] = mapped_column(Numeric(9, PERCENT_DIGITS))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        UniqueConstraint("region_id", "tax_class", "name"),
        CheckConstraint("percent BETWEEN 0 AND 100", name="percent_within_price"),
        CheckConstraint("tax_class ~ '^[a-z][a-z0-9_]{0,49}$'", name="tax_class_form"),
        CheckConstraint("name <> ''", name="name_not_empty"),
    )


class TaxExemption(Base):
    """A customer who pays no tax, and the certificate that says so."""

    __tablename__ = "tax_exemptions"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    certificate: Mapped[str]
    granted_by: Mapped[str]
    granted_at: Mapped[Now]

    __table_args__ = (CheckConstraint("certificate <> ''", name="certificate_not_empty"),)


# --- what a basket needs of it ----------------------------------------------------------------------------------------


async def rules_for(session: AsyncSession, policy: TaxPolicy, destination: Destination | None) -> TaxRules:
    """All that can matter for goods that go there: the regions that cover it, and those of the shop's home."""
    places = [place for place in (destination, policy.home) if place is not None]
    if policy.mode is TaxMode.NONE or not places:
        return TaxRules(policy=policy)
    rows = await session.execute(
        COVERING,
        {
            "countries": [place.country for place in places],
            "regions": [plain(place.region or "") for place in places],
            "postal_codes": [plain(place.postal_code) for place in places],
        },
    )
    return TaxRules(policy=policy, regions=tuple(_region(row) for row in rows.mappings()))


COVERING = text(
    """
    SELECT country, region, postal_prefix, is_inclusive, (
               SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'name', name, 'tax_class', tax_class, 'percent', CAST(percent AS text)
               ) ORDER BY tax_rates.id), '[]')
               FROM tax_rates WHERE tax_rates.region_id = tax_regions.id
           ) AS rates
    FROM tax_regions
    WHERE country = ANY(CAST(:countries AS text[])) AND EXISTS (
        SELECT FROM unnest(CAST(:countries AS text[]), CAST(:regions AS text[]), CAST(:postal_codes AS text[]))
                 AS places (country, region, postal_code)
        WHERE tax_regions.country = places.country AND tax_regions.region IN ('', places.region)
          AND starts_with(places.postal_code, tax_regions.postal_prefix)
    )
    """
)


def _region(row: RowMapping) -> Region:
    rates = (
        Rate(name=rate["name"], percent=Decimal(rate["percent"]), tax_class=rate["tax_class"]) for rate in row["rates"]
    )
    return Region(
        country=row["country"],
        region=row["region"],
        postal_prefix=row["postal_prefix"],
        is_inclusive=row["is_inclusive"],
        rates=tuple(rates),
    )


# --- what staff does with it ------------------------------------------------------------------------------------------


async def regions(session: AsyncSession, *, limit: int, after: UUID | None) -> Sequence[TaxRegion]:
    wanted = select(TaxRegion).order_by(TaxRegion.id).limit(limit)
    return (await session.scalars(wanted if after is None else wanted.where(TaxRegion.id > after))).all()


async def rates(session: AsyncSession, *, region_id: UUID | None, limit: int, after: UUID | None) -> Sequence[TaxRate]:
    wanted = select(TaxRate).order_by(TaxRate.id).limit(limit)
    if region_id is not None:
        wanted = wanted.where(TaxRate.region_id == region_id)
    return (await session.scalars(wanted if after is None else wanted.where(TaxRate.id > after))).all()


async def add_region(session: AsyncSession, fields: Mapping[str, Any], *, actor: str) -> TaxRegion:
    """Refuses ``tax_region_exists``."""
    region = TaxRegion(**fields)
    await _write(session, region, _region_exists)
    await audit_log.note(session, actor, "tax_region.add", words=_place(region))
    return region


async def change_region(
    session: AsyncSession, region_id: UUID, fields: Mapping[str, Any], *, expected: Versions, actor: str
) -> TaxRegion:
    """Refuses ``tax_region_exists``, ``precondition_failed``."""
    region = await _change(session, TaxRegion, region_id, fields, expected, _region_exists)
    await audit_log.note(session, actor, "tax_region.change", words=_place(region))
    return region


async def remove_region(session: AsyncSession, region_id: UUID, *, expected: Versions, actor: str) -> None:
    """With all its rates."""
    region = await _known(session, TaxRegion, region_id, expected)
    await session.execute(delete(TaxRegion).where(TaxRegion.id == region_id))
    await audit_log.note(session, actor, "tax_region.remove", words=_place(region))


async def add_rate(session: AsyncSession, fields: Mapping[str, Any], *, actor: str) -> TaxRate:
    """Refuses ``tax_rate_exists``, and a region that there is not."""
    # While its rate is added, a region cannot be removed.
    region = select(TaxRegion.id).where(TaxRegion.id == fields["region_id"]).with_for_update(read=True, key_share=True)
    if await session.scalar(region) is None:
        raise unacceptable("/region_id", "there is no such region")
    rate = TaxRate(**fields)
    await _write(session, rate, _rate_exists)
    await audit_log.note(session, actor, "tax_rate.add", words=_tax(rate))
    return rate


async def change_rate(
    session: AsyncSession, rate_id: UUID, fields: Mapping[str, Any], *, expected: Versions, actor: str
) -> TaxRate:
    """Refuses ``tax_rate_exists``, ``precondition_failed``."""
    rate = await _change(session, TaxRate, rate_id, fields, expected, _rate_exists)
    await audit_log.note(session, actor, "tax_rate.change", words=_tax(rate))
    return rate


async def remove_rate(session: AsyncSession, rate_id: UUID, *, expected: Versions, actor: str) -> None:
    rate = await _known(session, TaxRate, rate_id, expected)
    await session.execute(delete(TaxRate).where(TaxRate.id == rate_id))
    await audit_log.note(session, actor, "tax_rate.remove", words=_tax(rate))


async def exempt(session: AsyncSession, user_id: UUID, certificate: str, *, actor: str) -> TaxExemption:
    """From now on the customer pays no tax; another certificate takes the place of the one before."""
    granted = insert(TaxExemption).values(user_id=user_id, certificate=certificate, granted_by=actor)
    facts = {"certificate": certificate, "granted_by": actor, "granted_at": func.now()}
    try:
        await session.execute(granted.on_conflict_do_update(index_elements=[TaxExemption.user_id], set_=facts))
    except IntegrityError as error:
        raise Refusal("not_found", "There is no such account.") from error
    await audit_log.note(session, actor, "tax_exemption.grant", words=str(user_id))
    return await session.get_one(TaxExemption, user_id, populate_existing=True)


async def tax_again(session: AsyncSession, user_id: UUID, *, actor: str) -> None:
    ended = delete(TaxExemption).where(TaxExemption.user_id == user_id).returning(TaxExemption.user_id)
    if await session.scalar(ended) is None:
        raise Refusal("not_found", "This account is not exempt.")
    await audit_log.note(session, actor, "tax_exemption.end", words=str(user_id))


async def exemption_of(session: AsyncSession, user_id: UUID) -> TaxExemption | None:
    return await session.get(TaxExemption, user_id)


async def _write(session: AsyncSession, row: Base, taken: Callable[[], Refusal]) -> None:
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as error:
        raise taken() from error
    await session.refresh(row)


async def _change(
    session: AsyncSession,
    table: type[Row],
    row_id: UUID,
    fields: Mapping[str, Any],
    expected: Versions,
    taken: Callable[[], Refusal],
) -> Row:
    row = await _known(session, table, row_id, expected)
    for name, value in fields.items():
        setattr(row, name, value)
    row.version += 1
    row.updated_at = func.now()
    await _write(session, row, taken)
    return row


async def _known(session: AsyncSession, table: type[Row], row_id: UUID, expected: Versions) -> Row:
    """The row, locked; refuses ``not_found`` and ``precondition_failed``."""
    row = await session.get(table, row_id, populate_existing=True, with_for_update=True)
    if row is None:
        raise Refusal("not_found", "There is no such thing in the table of taxes.")
    if expected is not None and row.version not in expected:
        raise stale()
    return row


def _region_exists() -> Refusal:
    return Refusal("tax_region_exists", "The table has this region already.")


def _rate_exists() -> Refusal:
    return Refusal("tax_rate_exists", "The region has a rate of this name for this class already.")


def _place(region: TaxRegion) -> str:
    parts = (region.country, region.region, region.postal_prefix and f"{region.postal_prefix}*")
    return (
        f"{' '.join(part for part in parts if part)}: prices {'contain' if region.is_inclusive else 'are without'} tax"
    )


def _tax(rate: TaxRate) -> str:
    return f"{rate.name} of {rate.percent.normalize():f} % on {rate.tax_class} in region {rate.region_id}"
