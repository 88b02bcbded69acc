"""Whose carts are."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def owner(session: AsyncSession, cart_id: UUID) -> tuple[bool, UUID | None]:
    """Whether the cart exists, and whose it is; ``None`` for a guest's."""
    found = (await session.execute(text("SELECT user_id FROM carts WHERE id = :id"), {"id": cart_id})).one_or_none()
    return found is not None, found.user_id if found else None
