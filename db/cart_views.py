"""What carts may choose, and whose they are."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession


async def shipping_options(session: AsyncSession, currency: str) -> Sequence[RowMapping]:
    found = await session.execute(
        text(
            """
            SELECT code, name, amount, estimated_days FROM shipping_methods JOIN shipping_rates USING (code)
            WHERE currency = :currency AND is_active ORDER BY position, code
            """
        ),
        {"currency": currency},
    )
    return found.mappings().all()


async def owner(session: AsyncSession, cart_id: UUID) -> tuple[bool, UUID | None]:
    """Whether the cart exists, and whose it is; ``None`` for a guest's."""
    found = (await session.execute(text("SELECT user_id FROM carts WHERE id = :id"), {"id": cart_id})).one_or_none()
    return found is not None, found.user_id if found else None
