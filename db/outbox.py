"""The outbox: what the rest of the company must hear, written by the transaction that made it true."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now, new_id


class OutboxEvent(Base):
    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(default=new_id)
    type: Mapped[str]
    key: Mapped[str]
    """Events with the same key keep their order."""
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[Now]
    published_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_outbox_unpublished", "id", postgresql_where=text("published_at IS NULL")),)
