"""Carriers, and the pages on which they tell how far a parcel is."""

from typing import Any

from sqlalchemy import CheckConstraint, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from db import versioned
from db.base import Base
from db.versioned import Versioned, Versions


class Carrier(Versioned, Base):
    """Parcels name their carrier by its code or its name, in capitals or not."""

    __tablename__ = "carriers"

    name: Mapped[str]
    tracking_url: Mapped[str]

    __table_args__ = (
        CheckConstraint("tracking_url ~ '^https://' AND tracking_url LIKE '%{number}%'", name="tracking_url_form"),
    )


TRACKING_URL_OF_PARCEL = """
    (SELECT tracking_url FROM carriers
     WHERE lower(fulfillments.carrier) IN (carriers.code, lower(carriers.name))
     ORDER BY carriers.code <> lower(fulfillments.carrier), carriers.code LIMIT 1)
"""
"""SQL for the address of the page about a parcel, its number still to be put in."""


async def carriers(session: AsyncSession) -> list[dict[str, Any]]:
    """All of them, by their codes."""
    found = await session.execute(text("SELECT code, name, tracking_url, version FROM carriers ORDER BY code"))
    return [dict(row) for row in found.mappings()]


async def put(session: AsyncSession, code: str, name: str, tracking_url: str, *, expected: Versions) -> dict[str, Any]:
    """Make the carrier, or change it; refuses ``precondition_failed``."""
    fields = {"name": name, "tracking_url": tracking_url}
    return {"code": code, **fields, "version": await versioned.put(session, Carrier, code, fields, expected)}


async def remove(session: AsyncSession, code: str, *, expected: Versions) -> None:
    """Parcels keep the carrier's name, and have no page any more. Refuses ``precondition_failed``."""
    await versioned.remove(session, Carrier, code, expected)
