"""Customers: people who have an account."""

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, NoReturn
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Text, cast, delete, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, aliased, mapped_column, undefer

from db.base import Base, Id, Now, one_of
from domain.customers import AccountState, AccountStatus, Role
from domain.errors import Refusal


class User(Base):
    __tablename__ = "users"

    id: Mapped[Id]
    username: Mapped[str]
    email: Mapped[str]
    password_hash: Mapped[str] = mapped_column(deferred=True)
    """Read only where a password is checked; no other query loads it, so nothing else can pass it on."""
    role: Mapped[str] = mapped_column(server_default=Role.CUSTOMER)
    status: Mapped[str] = mapped_column(server_default=AccountStatus.PENDING_VERIFICATION)
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
    verified_at: Mapped[datetime | None]
    language: Mapped[str | None]
    """In which mails are written to them, as they asked for it when they registered; the shop's own where ``None``."""

    __table_args__ = (
        Index("uq_users_email", func.lower(text("email")), unique=True),
        Index("uq_users_username", func.lower(text("username")), unique=True),
        Index("ix_users_drawn", text("md5(id::text)")),
        CheckConstraint(one_of("role", Role), name="role"),
        CheckConstraint(one_of("status", AccountStatus), name="status"),
        CheckConstraint("char_length(username) BETWEEN 3 AND 50", name="username_length"),
    )


async def register(
    session: AsyncSession, *, username: str, email: str, password_hash: str, language: str | None = None
) -> User:
    """A new account that waits for its verification; refuses ``email_taken`` and ``username_taken``.

    The caller starts the registration's workflow before it commits. The workflow waits about half a minute for the
    row; a transaction that is forgotten in between is ended by Postgres after half of that, so that no account can
    appear whose workflow has given it up.
    """
    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '15s'"))
    user = User(username=username, email=email, password_hash=password_hash, language=language)
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        _refuse_taken(error)
    return user


async def rename(session: AsyncSession, user_id: UUID, username: str) -> User | None:
    """``None`` when the account is gone; refuses ``username_taken``."""
    try:
        await session.execute(update(User).where(User.id == user_id).values(username=username, updated_at=func.now()))
    except IntegrityError as error:
        _refuse_taken(error)
    return await by_id(session, user_id)


def _refuse_taken(error: IntegrityError) -> NoReturn:
    """Postgres has decided the race; its message holds the whole row and goes no further."""
    match getattr(error.orig.__cause__ if error.orig else None, "constraint_name", None):
        case "uq_users_email":
            raise Refusal("email_taken", "There is an account with this e-mail address.") from None
        case "uq_users_username":
            raise Refusal("username_taken", "There is an account with this username.") from None
    raise error


async def by_id(session: AsyncSession, user_id: UUID) -> User | None:
    return await session.get(User, user_id)


async def by_id_with_hash(session: AsyncSession, user_id: UUID) -> User | None:
    found = await session.scalars(select(User).where(User.id == user_id).options(undefer(User.password_hash)))
    return found.one_or_none()


async def by_ids(session: AsyncSession, user_ids: Collection[UUID]) -> dict[UUID, User]:
    return {user.id: user for user in await session.scalars(select(User).where(User.id.in_(user_ids)))}


async def by_email_with_hash(session: AsyncSession, email: str) -> User | None:
    """The account of an e-mail address, however it is capitalised, with its password's hash."""
    found = await session.scalars(
        select(User)
        .where(func.lower(User.email) == func.lower(email), User.status != AccountStatus.CLOSED)
        .options(undefer(User.password_hash))
    )
    return found.one_or_none()


class Claim(NamedTuple):
    """Somebody who signs in, as far as they are known."""

    user: User | None
    hash_to_check: str | None
    """Of the account; for an unknown address that of another one, always the same. ``None``: there are no accounts."""


async def claimed_by(session: AsyncSession, email: str) -> Claim:
    """The account of an e-mail address with what its password has to be held against, and as much for an unknown one.

    Hashes that came from elsewhere take longer or shorter to check than ours. So an unknown address borrows the hash of
    an account that is drawn by its name: as many of them are answered as slowly as there are such accounts.
    """
    other = aliased(User)
    place = func.md5(cast(other.id, Text))
    drawn = (
        select(other.password_hash)
        .where(place >= drawn_by(email), other.status != AccountStatus.CLOSED)
        .order_by(place)
        .limit(1)
        .scalar_subquery()
    )
    is_theirs = (func.lower(User.email) == func.lower(email)) & (User.status != AccountStatus.CLOSED)
    whoever = select(literal(1)).subquery()
    query = select(User, drawn).select_from(whoever).outerjoin(User, is_theirs).options(undefer(User.password_hash))
    user, borrowed = (await session.execute(query)).one()
    return Claim(user, user.password_hash if user else borrowed)


def drawn_by(email: str) -> str:
    """Where an unknown address is among the accounts, in the order of their ids' MD5."""
    return hashlib.md5(email.casefold().encode(), usedforsecurity=False).hexdigest()


async def state_of(session: AsyncSession, user_id: UUID) -> AccountState:
    status = await session.scalar(select(User.status).where(User.id == user_id))
    match status:
        case None:
            return AccountState.GONE
        case AccountStatus.ACTIVE:
            return AccountState.ACTIVE
        case AccountStatus.CLOSED:
            return AccountState.GONE
    return AccountState.PENDING


async def activate(session: AsyncSession, user_id: UUID) -> AccountState:
    """Active from now on, or since before; gone when the account expired first."""
    await session.execute(
        update(User)
        .where(User.id == user_id, User.status == AccountStatus.PENDING_VERIFICATION)
        .values(status=AccountStatus.ACTIVE, verified_at=func.now(), updated_at=func.now())
    )
    return await state_of(session, user_id)


async def expire(session: AsyncSession, user_id: UUID) -> AccountState:
    """Gone, with its e-mail and username free again; or active when it was verified first."""
    await session.execute(delete(User).where(User.id == user_id, User.status == AccountStatus.PENDING_VERIFICATION))
    return await state_of(session, user_id)


async def replace_hash(session: AsyncSession, user_id: UUID, *, old: str, new: str) -> None:
    """Does nothing when the password was changed in the meantime."""
    await session.execute(
        update(User)
        .where(User.id == user_id, User.password_hash == old)
        .values(password_hash=new, updated_at=func.now())
    )


async def locked(session: AsyncSession, user_id: UUID) -> bool:
    """Is there such an account? It is left to this transaction until it ends."""
    account = select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    return await session.scalar(account) is not None


async def has_password(session: AsyncSession, user_id: UUID, password_hash: str) -> bool:
    """Is this still the hash? It stays so until this transaction ends, so whoever changes it comes after."""
    is_it = (
        select(User.id).where(User.id == user_id, User.password_hash == password_hash).with_for_update(key_share=True)
    )
    return await session.scalar(is_it) is not None


async def change_email(session: AsyncSession, user_id: UUID, email: str) -> None:
    """Refuses ``email_taken``: only now does the index decide."""
    changed = update(User).where(User.id == user_id)
    try:
        await session.execute(changed.values(email=email, verified_at=func.now(), updated_at=func.now()))
    except IntegrityError as error:
        _refuse_taken(error)


async def change_password(session: AsyncSession, user_id: UUID, password_hash: str) -> None:
    await session.execute(
        update(User).where(User.id == user_id).values(password_hash=password_hash, updated_at=func.now())
    )


async def make_staff(session: AsyncSession, *, username: str, email: str, password_hash: str, role: Role) -> User:
    """An account whose address was verified by an invitation; refuses ``email_taken`` and ``username_taken``."""
    user = User(
        username=username,
        email=email,
        password_hash=password_hash,
        role=role,
        status=AccountStatus.ACTIVE,
        verified_at=func.now(),
    )
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        _refuse_taken(error)
    return user


async def make_verified(session: AsyncSession, *, username: str, email: str, password_hash: str, role: Role) -> bool:
    """An account that needs no verification; false, and nothing changed, when its e-mail or username is taken."""
    made = await session.scalar(
        insert(User)
        .values(
            username=username,
            email=email,
            password_hash=password_hash,
            role=role,
            status=AccountStatus.ACTIVE,
            verified_at=func.now(),
        )
        .on_conflict_do_nothing()
        .returning(User.id)
    )
    return made is not None
