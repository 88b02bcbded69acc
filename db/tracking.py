"""What carriers have told of parcels: kept before they are answered, and followed one after the other."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, new_id, one_of
from db.orders import locked, record
from db.shipping import Fulfillment
from domain.carriers import LeaveParcel
from domain.shipping import FulfillmentStatus
from domain.tracking import Arrival, CarrierNews, Outcome, TrackingStatus, is_outdated


class CarrierMessage(Base):
    """Those without an outcome wait: for their parcel to be shipped, or for its order to hear that it has arrived."""

    __tablename__ = "carrier_messages"

    id: Mapped[Id]
    provider: Mapped[str]
    message_id: Mapped[str]
    carrier: Mapped[str]
    tracking_number: Mapped[str]
    status: Mapped[str | None]
    at: Mapped[datetime]
    fulfillment_id: Mapped[UUID | None] = mapped_column(ForeignKey("fulfillments.id"), index=True)
    """``None`` while no parcel of the shop has this number."""
    received_at: Mapped[Now]
    outcome: Mapped[str | None]

    __table_args__ = (
        CheckConstraint(one_of("status", TrackingStatus), name="status"),
        CheckConstraint(one_of("outcome", Outcome), name="outcome"),
        Index("uq_carrier_messages_provider_message_id", "provider", "message_id", unique=True),
        Index("ix_carrier_messages_waiting", "received_at", postgresql_where=text("outcome IS NULL")),
        Index("ix_carrier_messages_unknown", "id", postgresql_where=text("fulfillment_id IS NULL")),
    )


async def keep(session: AsyncSession, provider: str, news: CarrierNews) -> None:
    """Put the message into the inbox; content when it came before."""
    message = {
        "id": new_id(),
        "provider": provider,
        "message_id": news.message_id,
        "carrier": news.carrier,
        "tracking_number": news.tracking_number,
        "status": news.status,
        "at": news.at,
    }
    await session.execute(insert(CarrierMessage).values(message).on_conflict_do_nothing())


async def follow(session: AsyncSession, provider: str, message_id: str) -> Arrival | None:
    """What a message that waits changes about its parcel; the arrival of which the parcel's order has to hear."""
    message = await session.scalar(
        select(CarrierMessage)
        .where(CarrierMessage.provider == provider, CarrierMessage.message_id == message_id)
        .where(CarrierMessage.outcome.is_(None))
        .with_for_update()
    )
    found = None if message is None else (await session.execute(PARCEL, {"id": message.id})).one_or_none()
    if message is None or found is None:
        return None
    await locked(session, found.order_id)
    parcel = await session.get_one(Fulfillment, found.id, populate_existing=True)
    message.fulfillment_id = parcel.id
    message.outcome = await _noted(session, parcel, message)
    await session.flush()
    if message.outcome is not None:
        return None
    return Arrival(provider=provider, message_id=message_id, order_id=parcel.order_id, fulfillment_id=parcel.id)


PARCEL = text(
    """
    SELECT fulfillments.id, fulfillments.order_id
    FROM carrier_messages AS message JOIN fulfillments USING (tracking_number)
    WHERE message.id = :id AND fulfillments.shipped_at IS NOT NULL
    ORDER BY lower(fulfillments.carrier) <> lower(message.carrier), fulfillments.shipped_at DESC LIMIT 1
    """
)


async def _noted(session: AsyncSession, parcel: Fulfillment, message: CarrierMessage) -> Outcome | None:
    """Write down how far the parcel is; ``None`` when its order has to hear of it before that is all."""
    if message.status is None:
        return Outcome.NO_NEWS
    status = TrackingStatus(message.status)
    known = TrackingStatus(parcel.tracking_status) if parcel.tracking_status else None
    if is_outdated(status, message.at, known=known, known_at=parcel.tracked_at):
        return Outcome.OUTDATED
    if parcel.status == FulfillmentStatus.CANCELLED:
        return Outcome.REFUSED
    is_news = status is not known
    parcel.tracking_status, parcel.tracked_at = status, message.at
    if is_news:
        facts = {"fulfillment_id": parcel.id, "status": status, "at": message.at}
        actor = f"carrier:{message.provider}"
        await record(session, parcel.order_id, "fulfillment.tracked", actor=actor, data=facts)
    has_to_be_told = status is TrackingStatus.DELIVERED and parcel.status == FulfillmentStatus.SHIPPED
    return None if has_to_be_told else Outcome.NOTED


async def leave(session: AsyncSession, request: LeaveParcel) -> None:
    """Note once that nobody will tell of the parcel."""
    await locked(session, request.order_id)
    parcel = {"order_id": request.order_id, "fulfillment_id": str(request.fulfillment_id)}
    if not await session.scalar(IS_LEFT, parcel):
        facts = {"fulfillment_id": request.fulfillment_id, "why": request.why}
        await record(session, request.order_id, "fulfillment.untracked", data=facts)


IS_LEFT = text(
    """
    SELECT EXISTS (
        SELECT FROM order_events
        WHERE order_id = :order_id AND type = 'fulfillment.untracked' AND data ->> 'fulfillment_id' = :fulfillment_id
    )
    """
)


async def told(session: AsyncSession, arrival: Arrival, outcome: Outcome) -> None:
    """The order has heard of it."""
    await session.execute(
        TOLD, {"provider": arrival.provider, "message_id": arrival.message_id, "outcome": str(outcome)}
    )


TOLD = text(
    """
    UPDATE carrier_messages SET outcome = :outcome
    WHERE provider = :provider AND message_id = :message_id AND outcome IS NULL
    """
)


async def waiting(session: AsyncSession, provider: str, *, older_than: float) -> list[str]:
    """Messages whose parcel is known by now and that nobody has followed for so many seconds, the oldest first."""
    return list(await session.scalars(WAITING, {"provider": provider, "age": older_than}))


WAITING = text(
    """
    SELECT message_id FROM carrier_messages
    WHERE provider = :provider AND outcome IS NULL AND received_at < now() - make_interval(secs => :age)
      AND EXISTS (
          SELECT FROM fulfillments
          WHERE fulfillments.tracking_number = carrier_messages.tracking_number AND shipped_at IS NOT NULL
      )
    ORDER BY received_at LIMIT 200
    """
)


async def forget(session: AsyncSession, *, kept: timedelta, most: int) -> int:
    """Remove the oldest messages that were received so long ago; how many there were.

    Their ids grow with the time. One whose parcel was not shipped in all this time is not of ours.
    """
    removed = await session.execute(FORGET, {"kept": kept, "most": most})
    return len(removed.all())


FORGET = text(
    """
    DELETE FROM carrier_messages WHERE id IN (
        SELECT id FROM carrier_messages
        WHERE id < (SELECT uuidv7(-CAST(:kept AS interval))) AND received_at < now() - CAST(:kept AS interval)
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    ) RETURNING id
    """
)


async def page(session: AsyncSession, *, limit: int, before: UUID | None, is_unknown: bool) -> list[dict[str, Any]]:
    """The newest messages below ``before``, or only those about no parcel of ours."""
    wanted = select(CarrierMessage).order_by(CarrierMessage.id.desc()).limit(limit)
    if is_unknown:
        wanted = wanted.where(CarrierMessage.fulfillment_id.is_(None))
    if before is not None:
        wanted = wanted.where(CarrierMessage.id < before)
    return [{name: getattr(message, name) for name in SHOWN} for message in await session.scalars(wanted)]


SHOWN = (
    *("id", "provider", "carrier", "tracking_number", "status", "at"),
    *("fulfillment_id", "received_at", "outcome"),
)
