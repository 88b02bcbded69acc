"""Customer groups: people for whom other prices and promotions may hold."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from db.customers import User
from domain.customers import AccountStatus
from domain.errors import Refusal


class CustomerGroup(Base):
    __tablename__ = "customer_groups"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("code ~ '^[a-z0-9][a-z0-9_-]{0,49}$'", name="code_form"),
        CheckConstraint("name <> ''", name="name_not_empty"),
    )


class GroupMember(Base):
    """A trigger tells listeners of each change, as of a change of the account itself."""

    __tablename__ = "group_members"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    group_code: Mapped[str] = mapped_column(ForeignKey("customer_groups.code"), primary_key=True)
    joined_at: Mapped[Now]

    __table_args__ = (Index("ix_group_members_group_code", "group_code"),)


async def page(session: AsyncSession, *, limit: int, after: str | None) -> Sequence[CustomerGroup]:
    """By their codes."""
    wanted = select(CustomerGroup).order_by(CustomerGroup.code).limit(limit)
    return (await session.scalars(wanted if after is None else wanted.where(CustomerGroup.code > after))).all()


async def create(session: AsyncSession, *, code: str, name: str) -> CustomerGroup:
    """Refuses ``group_exists``."""
    made = insert(CustomerGroup).values(code=code, name=name).on_conflict_do_nothing().returning(CustomerGroup)
    group: CustomerGroup | None = await session.scalar(made)
    if group is None:
        raise Refusal("group_exists", f"There is a customer group {code}.")
    return group


async def rename(session: AsyncSession, code: str, name: str) -> CustomerGroup:
    changed = update(CustomerGroup).where(CustomerGroup.code == code).values(name=name, updated_at=func.now())
    group: CustomerGroup | None = await session.scalar(changed.returning(CustomerGroup))
    if group is None:
        raise _no_such_group(code)
    return group


async def put_in(session: AsyncSession, user_id: UUID, code: str) -> bool:
    """False for somebody who is in it already; refuses ``not_found``, also for an account that is closed."""
    await _check_account(session, user_id)
    if await session.scalar(select(CustomerGroup.code).where(CustomerGroup.code == code)) is None:
        raise _no_such_group(code)
    joined = insert(GroupMember).values(user_id=user_id, group_code=code).on_conflict_do_nothing()
    return await session.scalar(joined.returning(GroupMember.group_code)) is not None


async def take_out(session: AsyncSession, user_id: UUID, code: str) -> bool:
    """False for somebody who is not in it."""
    await _check_account(session, user_id)
    left = delete(GroupMember).where(GroupMember.user_id == user_id, GroupMember.group_code == code)
    return await session.scalar(left.returning(GroupMember.group_code)) is not None


async def _check_account(session: AsyncSession, user_id: UUID) -> None:
    """It stays open until this transaction ends, so that nobody who is forgotten is in a group again."""
    is_open = select(User.id).where(User.id == user_id, User.status != AccountStatus.CLOSED)
    if await session.scalar(is_open.with_for_update(read=True)) is None:
        raise _no_such_account()


def _no_such_account() -> Refusal:
    return Refusal("not_found", "There is no such account.")


def _no_such_group(code: str) -> Refusal:
    return Refusal("not_found", f"There is no customer group {code}.")


GROUPS_OF_THEM = func.array(
    select(GroupMember.group_code)
    .where(GroupMember.user_id == User.id)
    .order_by(GroupMember.group_code)
    .correlate(User)
    .scalar_subquery(),
    type_=ARRAY(String),
)


async def groups_of(session: AsyncSession, user_id: UUID) -> list[str]:
    """Refuses ``not_found`` for an account that there is not."""
    if (groups := await session.scalar(select(GROUPS_OF_THEM).where(User.id == user_id))) is None:
        raise _no_such_account()
    return list(groups)


async def with_groups(session: AsyncSession, user_id: UUID) -> tuple[User, list[str]] | None:
    """The account and its groups, in one statement."""
    found = (await session.execute(select(User, GROUPS_OF_THEM).where(User.id == user_id))).one_or_none()
    return None if found is None else (found[0], list(found[1]))
