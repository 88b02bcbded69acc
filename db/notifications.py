"""Mails that were sent, so that none is sent twice."""

from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now


class SentMail(Base):
    """``key`` names the occasion (``order_confirmed:<order id>``); its row is proof that the mail went out."""

    __tablename__ = "sent_mails"

    key: Mapped[str] = mapped_column(primary_key=True)
    sent_at: Mapped[Now]
