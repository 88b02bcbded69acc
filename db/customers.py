"""Customers: accounts, and the sessions they sign in to."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, one_of
from domain.customers import AccountStatus, Role


class User(Base):
    __tablename__ = "users"

    id: Mapped[Id]
    username: Mapped[str]
    email: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(server_default=Role.CUSTOMER)
    status: Mapped[str] = mapped_column(server_default=AccountStatus.PENDING_VERIFICATION)
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
    verified_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_users_email", func.lower(text("email")), unique=True),
        Index("uq_users_username", func.lower(text("username")), unique=True),
        CheckConstraint(one_of("role", Role), name="role"),
        CheckConstraint(one_of("status", AccountStatus), name="status"),
        CheckConstraint("char_length(username) BETWEEN 3 AND 50", name="username_length"),
    )


class LoginSession(Base):
    """One sign-in on one device: the family that its rotating refresh tokens belong to."""

    __tablename__ = "login_sessions"

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Now]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RefreshToken(Base):
    """A refresh token, known only by its SHA-256; a used one stays, so that its reuse is noticed."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("login_sessions.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Now]
    used_at: Mapped[datetime | None]
