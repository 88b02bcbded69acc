"""The payment provider's books beside ours, both ways: what was paid, to whom it belongs, and how much."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import RowMapping

from db import reconciliation
from db.engine import Sessions
from domain.audit import Breach, Law, Repair
from domain.money import Money
from domain.payments import BookedPayment, PaymentStatus
from providers.payments import PaymentProvider

AT_A_TIME = 100


class MoneyBook:
    """Compared are payments that were made, or partly refunded, in a span of time."""

    def __init__(self, sessions: Sessions, provider: PaymentProvider) -> None:
        self._sessions = sessions
        self._provider = provider

    async def look(
        self, since: datetime, until: datetime, *, patience_seconds: float, alive: Callable[[], None]
    ) -> list[Breach]:
        """What seems wrong with payments of that span; ``alive`` is told of every piece that was read."""
        found: list[Breach] = []
        seen: set[str] = set()
        async for payments in in_bundles(self._provider.payments_between(since, until)):
            seen |= {payment.reference for payment in payments}
            found += await self._compared(payments, patience_seconds)
            alive()
        async for reference in self._provider.refunded_between(since, until):
            if reference not in seen:
                seen.add(reference)
                found += await self._asked_for(reference, patience_seconds)
                alive()
        async with self._sessions() as session:
            believed = await reconciliation.believed_between(
                session, self._provider.name, since, until, patience=patience_seconds
            )
        for row in believed:
            if row["reference"] not in seen:
                found += await self._asked_for(row["reference"], patience_seconds)
                alive()
        return found

    async def look_again(self, suspects: Sequence[Breach]) -> list[Breach]:
        found: list[Breach] = []
        for reference in sorted({breach.subject for breach in suspects}):
            found += await self._asked_for(reference, 0)
        wanted = {breach.key for breach in suspects}
        return [breach for breach in found if breach.key in wanted]

    async def _asked_for(self, reference: str, patience: float) -> list[Breach]:
        """What seems wrong with one payment, which the provider may not even know."""
        known = await self._provider.find_payment(reference)
        if known is not None:
            return await self._compared([known], patience)
        async with self._sessions() as session:
            row = await reconciliation.by_reference(session, reference, patience=patience)
        return [missing(row)] if row is not None and row["is_believed"] else []

    async def _compared(self, payments: Sequence[BookedPayment], patience: float) -> list[Breach]:
        async with self._sessions() as session:
            rows = await reconciliation.by_payment(
                session, [payment.payment_id for payment in payments if payment.payment_id], patience=patience
            )
        old_enough = datetime.now(UTC) - timedelta(seconds=patience)
        return [
            breach
            for payment in payments
            if payment.created_at <= old_enough
            for breach in differences(payment, rows.get(payment.payment_id) if payment.payment_id else None)
        ]


async def in_bundles(payments: AsyncIterator[BookedPayment]) -> AsyncIterator[list[BookedPayment]]:
    bundle: list[BookedPayment] = []
    async for payment in payments:
        bundle.append(payment)
        if len(bundle) == AT_A_TIME:
            yield bundle
            bundle = []
    yield bundle


def differences(payment: BookedPayment, ours: RowMapping | None) -> list[Breach]:
    """How the provider's payment is not what our books say of it; nothing for what is in somebody's hands."""

    def money(minor: int) -> Money:
        return Money(minor, payment.currency)

    is_there = payment.held > 0 or payment.kept > 0
    has = f"the provider holds {money(payment.held)} and keeps {money(payment.kept)} ({payment.reference})"
    if ours is None:
        words = f"{has}, which belongs to no order"
        return [Breach(law=Law.MONEY_HAS_AN_ORDER, subject=payment.reference, words=words)] if is_there else []

    def breach(law: Law, words: str, repair: Repair | None = None) -> Breach:
        return Breach(law=law, subject=payment.reference, words=words, order_id=ours["order_id"], repair=repair)

    if not ours["is_quiet"]:
        return []
    stray = Repair.GIVE_STRAY_MONEY_BACK
    if ours["reference"] not in (None, payment.reference):
        words = f"{has} besides {ours['reference']} for order S-{ours['number']}"
        return [breach(Law.MONEY_IS_TAKEN_ONCE, words, stray)] if is_there else []
    if ours["status"] == "cancelled":
        owed = ours["captured"] - ours["refunded"] - ours["credited"]  # on its way back, as far as it is set aside
        words = f"{has} for order S-{ours['number']}, which is cancelled"
        is_seen_to = ours["refunding"] + ours["disputed"] >= owed  # what is disputed, the bank has taken back
        is_back = payment.held == 0 and payment.kept - ours["credited"] <= (owed if is_seen_to else 0)
        return [] if is_back else [breach(Law.MONEY_OF_CANCELLED_ORDERS_IS_BACK, words, stray)]
    if ours["status"] == "pending" or agree(payment, ours):
        return []
    words = (
        f"the provider holds {money(payment.held)}, took {money(payment.captured)} and gave {money(payment.refunded)} "
        f"back for order S-{ours['number']} ({payment.reference}); our books say "
        f"{money(expected_hold(payment, ours))}, {money(ours['captured'])} and {money(ours['refunded'])}"
    )
    return [breach(Law.AMOUNTS_AGREE, words)]


def agree(payment: BookedPayment, ours: RowMapping) -> bool:
    """The same amounts, or those that they become when the step that is under way has been noted."""
    is_being_captured = payment.captured > ours["captured"]
    return (
        ours["captured"] <= payment.captured <= ours["captured"] + ours["charging"]
        and ours["refunded"] <= payment.refunded <= ours["refunded"] + ours["refunding"]
        and (is_being_captured or payment.held == expected_hold(payment, ours))
    )


def expected_hold(payment: BookedPayment, ours: RowMapping) -> int:
    if ours["payment_status"] != PaymentStatus.AUTHORIZED:
        return 0
    return int(ours["authorized"]) - payment.captured


def missing(ours: RowMapping) -> Breach:
    return Breach(
        law=Law.MONEY_IS_WHERE_WE_BELIEVE,
        subject=ours["reference"],
        words=f"order S-{ours['number']} says that {Money(ours['authorized'], ours['currency'])} were promised, but "
        f"the provider does not know {ours['reference']}",
        order_id=ours["order_id"],
    )
