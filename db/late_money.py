"""Money that arrived for nothing and went back: told once, to whom it may concern."""

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import mailbox, outbox
from db.base import Base, Now, one_of
from db.orders import locked, record
from domain.money import Money
from domain.notifications import Occasion, mail_key
from domain.payments import MoneyBack, NoteLateMoney

HAPPENED = "payment.late_money_returned"


class LateMoney(Base):
    """A payment, by the provider's own id, that no order wanted and that was given back. Amounts are minor units."""

    __tablename__ = "late_money"

    reference: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[UUID | None] = mapped_column(ForeignKey("orders.id"), index=True)
    """``None`` when the order that it was meant for is in no book of ours."""
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    how: Mapped[str]
    returned_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint(one_of("how", MoneyBack), name="how"),
        CheckConstraint("amount > 0", name="amount_positive"),
    )


async def note(session: AsyncSession, request: NoteLateMoney) -> bool:
    """Say it on the order's timeline, to other systems and to the customer; false when that was said before."""
    if request.order_id is not None:
        await locked(session, request.order_id)
    facts = {
        "reference": request.reference,
        "amount": request.amount.minor,
        "currency": request.amount.currency,
        "how": request.how,
    }
    noted = await session.execute(NOTE, {**facts, "order_id": request.order_id})
    if noted.first() is None:
        return False
    if request.order_id is None:
        await outbox.tell(session, HAPPENED, request.reference, facts)
    else:
        await record(session, request.order_id, HAPPENED, data=facts)
        await mailbox.ask_for(session, Occasion.LATE_MONEY, request.order_id, occasion_of=request.reference)
    return True


async def returned(session: AsyncSession, order_ids: list[UUID]) -> dict[str, Money]:
    """What went back for these orders, by the keys of the letters about it."""
    found = await session.scalars(select(LateMoney).where(LateMoney.order_id.in_(order_ids)))
    return {mail_key(Occasion.LATE_MONEY, it.reference): Money(it.amount, it.currency) for it in found}


NOTE = text(
    """
    INSERT INTO late_money (reference, order_id, amount, currency, how)
    VALUES (:reference, :order_id, :amount, :currency, :how)
    ON CONFLICT DO NOTHING RETURNING reference
    """
)
