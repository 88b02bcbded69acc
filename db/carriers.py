"""Carriers, and the pages on which they tell how far a parcel is."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from db import versioned
from db.base import Base
from db.versioned import Versioned, Versions
from domain.carriers import ParcelToFollow


class Carrier(Versioned, Base):
    """Parcels name their carrier by its code or its name, in capitals or not."""

    __tablename__ = "carriers"

    name: Mapped[str]
    tracking_url: Mapped[str]
    easypost_name: Mapped[str | None]
    """What EasyPost calls it; ``None`` when it is not asked to tell of its parcels."""

    __table_args__ = (
        CheckConstraint("tracking_url ~ '^https://' AND tracking_url LIKE '%{number}%'", name="tracking_url_form"),
    )


OF_PARCEL = """
    FROM carriers WHERE lower(fulfillments.carrier) IN (carriers.code, lower(carriers.name))
    ORDER BY carriers.code <> lower(fulfillments.carrier), carriers.code LIMIT 1
"""
"""SQL for the carrier that a parcel names."""

TRACKING_URL_OF_PARCEL = f"(SELECT tracking_url {OF_PARCEL})"
"""SQL for the address of the page about a parcel, its number still to be put in."""


async def carriers(session: AsyncSession) -> list[dict[str, Any]]:
    """All of them, by their codes."""
    found = await session.execute(
        text("SELECT code, name, tracking_url, easypost_name, version FROM carriers ORDER BY code")
    )
    return [dict(row) for row in found.mappings()]


async def put(session: AsyncSession, code: str, fields: Mapping[str, Any], *, expected: Versions) -> dict[str, Any]:
    """Make the carrier, or change it; refuses ``precondition_failed``."""
    return {"code": code, **fields, "version": await versioned.put(session, Carrier, code, fields, expected)}


async def remove(session: AsyncSession, code: str, *, expected: Versions) -> None:
    """Parcels keep the carrier's name, and have no page any more. Refuses ``precondition_failed``."""
    await versioned.remove(session, Carrier, code, expected)


async def to_follow(session: AsyncSession, fulfillment_id: UUID) -> ParcelToFollow | None:
    """How EasyPost knows the parcel; ``None`` when it does not, or when the parcel is not on its way any more."""
    parcel = (await session.execute(TO_FOLLOW, {"id": fulfillment_id})).one_or_none()
    if parcel is None or not parcel.carrier or not parcel.tracking_number:
        return None
    return ParcelToFollow(carrier=parcel.carrier, tracking_number=parcel.tracking_number)


TO_FOLLOW = text(
    f"""
    SELECT (SELECT easypost_name {OF_PARCEL}) AS carrier, tracking_number
    FROM fulfillments WHERE id = :id AND status = 'shipped'
    """  # noqa: S608 (a constant)
)
