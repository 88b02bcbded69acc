"""Second factors: the sealed secret that an authenticator app shares, and recovery codes."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from domain.errors import Refusal


class SecondFactor(Base):
    """Asked for at sign-in once it was confirmed."""

    __tablename__ = "second_factors"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    sealed_secret: Mapped[bytes]
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    """The time step of the last code that was taken: neither it nor an older one is taken again."""
    created_at: Mapped[Now]


class RecoveryCode(Base):
    """Takes the place of a code once, known only by its SHA-256."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("second_factors.user_id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(primary_key=True)
    used_at: Mapped[datetime | None]


async def begin(session: AsyncSession, user_id: UUID, sealed_secret: bytes) -> None:
    """A secret that waits for its first code, in the place of one that got none; refuses ``second_factor_enabled``."""
    begun = insert(SecondFactor).values(user_id=user_id, sealed_secret=sealed_secret)
    made = await session.scalar(
        begun.on_conflict_do_update(
            index_elements=[SecondFactor.user_id],
            set_={"sealed_secret": begun.excluded.sealed_secret, "last_step": None, "created_at": func.now()},
            where=SecondFactor.confirmed_at.is_(None),
        ).returning(SecondFactor.user_id)
    )
    if made is None:
        raise Refusal("second_factor_enabled", "There is a second factor already; turn it off first.")


async def of(session: AsyncSession, user_id: UUID) -> SecondFactor | None:
    return await session.get(SecondFactor, user_id, populate_existing=True)


async def is_enabled(session: AsyncSession, user_id: UUID) -> bool:
    enabled = select(SecondFactor.user_id).where(
        SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None)
    )
    return await session.scalar(enabled) is not None


async def use_step(session: AsyncSession, user_id: UUID, step: int) -> bool:
    """A code was right; false when it, or a newer one, was taken before."""
    used = await session.scalar(
        update(SecondFactor)
        .where(SecondFactor.user_id == user_id, or_(SecondFactor.last_step.is_(None), SecondFactor.last_step < step))
        .values(last_step=step)
        .returning(SecondFactor.user_id)
    )
    return used is not None


async def use_recovery_code(session: AsyncSession, user_id: UUID, code_hash: bytes) -> bool:
    """False for a code that was used before, or never given out."""
    used = await session.scalar(
        update(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash, RecoveryCode.used_at.is_(None))
        .values(used_at=func.now())
        .returning(RecoveryCode.user_id)
    )
    return used is not None


async def confirm(session: AsyncSession, user_id: UUID, code_hashes: Sequence[bytes]) -> None:
    """Asked for from now on; these recovery codes, and no others, take its place."""
    await session.execute(update(SecondFactor).where(SecondFactor.user_id == user_id).values(confirmed_at=func.now()))
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    session.add_all(RecoveryCode(user_id=user_id, code_hash=code_hash) for code_hash in code_hashes)
    await session.flush()


async def recovery_codes_left(session: AsyncSession, user_id: UUID) -> int:
    left = select(func.count()).where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    return await session.scalar(left) or 0


async def remove(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id))
