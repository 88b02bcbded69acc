"""Audit steps: look at the shop's books, write down what is wrong, and repair what can be repaired."""

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client

from activities.audit_money import MoneyBook
from activities.audit_stories import StoryBook
from activities.heartbeats import heard_of
from activities.story_laws import STORY_LAWS
from db import audit_log, breaches, laws, payments, repairs, resumption
from db.engine import Sessions
from domain.audit import (
    LAWS_OF_MONEY,
    LAWS_OF_STORIES,
    LAWS_OF_TABLES,
    AuditReport,
    Breach,
    Conclude,
    Law,
    LookAtBooks,
    Prescription,
    Repair,
    RepairBreach,
    Suspicions,
)
from domain.deadlines import Term
from providers.payments import PaymentProvider
from workflows.steps import audit as steps

BEGIN_STORIES = frozenset(law.repair for law in STORY_LAWS.values())
BREACHES = TypeAdapter(list[Breach])
A_DAY = timedelta(days=1)
A_CLOCKS_ERROR = timedelta(minutes=5)


class AuditActivities:
    def __init__(
        self,
        sessions: Sessions,
        engine: Client,
        provider: PaymentProvider,
        *,
        transfer_term: Term,
        reminder_after: timedelta,
        verification_window: timedelta,
    ) -> None:
        self._sessions = sessions
        self._transfer_term = transfer_term
        self._reminder_after = reminder_after
        self._verification_window = verification_window
        self._stories = StoryBook(sessions, engine)
        self._money = MoneyBook(sessions, provider)

    @steps.look_at_tables.performed_by
    async def look_at_tables(self, look: LookAtBooks) -> Suspicions:
        """Behind millions of orders a single law takes longer than the engine waits for a sign of life."""
        found: list[Breach] = []
        async with heard_of():
            for law in _in_order(LAWS_OF_TABLES):
                found += await self._table_breaches(law, patience_seconds=look.patience_seconds)
        return Suspicions(breaches=found)

    @steps.look_at_stories.performed_by
    async def look_at_stories(self, look: LookAtBooks) -> Suspicions:
        found: list[Breach] = []
        async for piece in self._stories.look(patience_seconds=look.patience_seconds):
            found += piece
            activity.heartbeat(len(found))
        return Suspicions(breaches=found)

    @steps.look_at_money.performed_by
    async def look_at_money(self, look: LookAtBooks) -> Suspicions:
        """Day by day; whoever takes over goes on with the day that was not finished."""
        until = datetime.now(UTC) + A_CLOCKS_ERROR
        first, found = _taken_over() or (until - timedelta(days=look.days), [])
        while first < until:
            found += await self._money.look(
                first, min(first + A_DAY, until), patience_seconds=look.patience_seconds, alive=activity.heartbeat
            )
            first += A_DAY
            activity.heartbeat(first.isoformat(), BREACHES.dump_python(found, mode="json"))
        return Suspicions(breaches=found)

    @steps.conclude.performed_by
    async def conclude(self, request: Conclude) -> AuditReport:
        """What an earlier audit found is looked at too; what is in the hands of its workflow is left to it."""
        async with self._sessions() as session:
            before = await breaches.open_breaches(session, request.laws)
        suspects = {breach.key: breach for breach in (*before, *request.suspicions)}
        async with heard_of():
            wrong = await self.still_wrong(list(suspects.values()))
        healed = [breach for breach in before if breach.key not in {still.key for still in wrong}]
        wrong, healed = await self._not_in_hand(wrong), await self._not_in_hand(healed)
        await self._write_down(wrong, healed)
        return AuditReport(breaches=sorted(wrong, key=_place), healed=len(healed))

    async def still_wrong(self, suspects: list[Breach]) -> list[Breach]:
        """Those of the suspects that are wrong at this moment, in the words of this moment."""
        found: list[Breach] = []
        for law in _in_order({breach.law for breach in suspects} & LAWS_OF_TABLES):
            of_law = {breach.key for breach in suspects if breach.law is law}
            found += [breach for breach in await self._table_breaches(law) if breach.key in of_law]
        found += await self._stories.look_again([breach for breach in suspects if breach.law in LAWS_OF_STORIES])
        return found + await self._money.look_again([breach for breach in suspects if breach.law in LAWS_OF_MONEY])

    async def _table_breaches(self, law: Law, *, patience_seconds: float = 0) -> list[Breach]:
        async with self._sessions() as session:
            return await laws.breaches_of(session, law, patience_seconds=patience_seconds)

    async def _not_in_hand(self, found: list[Breach]) -> list[Breach]:
        """Without what a workflow is at work on; whether there is a workflow, it cannot put right itself."""
        in_hand = {
            order_id: await self._stories.is_in_hand(order_id)
            for order_id in sorted({breach.order_id for breach in found if breach.order_id})
        }
        return [
            breach
            for breach in found
            if breach.law in LAWS_OF_STORIES or breach.order_id is None or not in_hand[breach.order_id]
        ]

    async def _write_down(self, wrong: list[Breach], healed: list[Breach]) -> None:
        by_order: defaultdict[UUID | None, tuple[list[Breach], list[Breach]]] = defaultdict(lambda: ([], []))
        for breach in wrong:
            by_order[breach.order_id][0].append(breach)
        for breach in healed:
            by_order[breach.order_id][1].append(breach)
        for order_id, (found, gone) in by_order.items():
            async with self._sessions.begin() as session:
                if order_id is None:
                    await breaches.note(session, found, gone)
                else:
                    await breaches.note_of_order(session, order_id, found, gone)
            if activity.in_activity():
                activity.heartbeat(str(order_id))

    @steps.repair.performed_by
    async def repair(self, request: RepairBreach) -> Prescription:
        """One transaction, with an entry in the audit log and in the order's timeline; repeats write neither again."""
        breach = request.breach
        if breach.repair is None:
            return Prescription(problem="a person has to decide")
        if breach.repair is Repair.RESUME_ORDER and await self._stories.is_told(UUID(breach.subject)):
            return Prescription(problem="the order's workflow runs; look what it waits for")
        async with self._sessions.begin() as session:
            prescription = await self._prescription(session, request)
            is_new = await audit_log.note_once(
                session,
                request.note_id,
                request.actor,
                f"repair:{breach.repair}",
                order_id=breach.order_id,
                words=f"{breach.law}: {breach.words}",
            )
            if is_new and breach.order_id is not None and prescription.problem is None:
                await repairs.note_repair(session, breach.order_id, breach.law, breach.repair, actor=request.actor)
        if breach.repair is Repair.END_STORY:
            await self._end_story(breach)
        return prescription

    async def _prescription(self, session: AsyncSession, request: RepairBreach) -> Prescription:
        if request.breach.repair in BEGIN_STORIES:
            return await self._story_to_begin(session, request.breach)
        breach, actor = request.breach, request.actor
        match breach.repair:
            case Repair.REFUND_THE_REST:
                refund = await repairs.refund_the_rest(session, UUID(breach.subject), actor=actor)
                return await resumption.to_refund(session, refund) if refund else Prescription()
            case Repair.FREE_THE_REST:
                return await resumption.to_release(session, UUID(breach.subject))
            case Repair.GIVE_STRAY_MONEY_BACK if breach.order_id is not None:
                return await resumption.to_give_back(session, breach.order_id, breach.subject)
            case Repair.CARRY_LETTERS:
                return Prescription(carry_letters=True)
            case Repair.HANDLE_WEBHOOK:
                provider, _, event_id = breach.subject.partition("/")
                await payments.handled(session, provider, event_id)
                return Prescription()
            case Repair.END_STORY:
                return Prescription()  # the engine's own business; see repair
            case _:
                return Prescription(problem=await _mended(session, breach, actor))

    async def _story_to_begin(self, session: AsyncSession, breach: Breach) -> Prescription:
        thing = UUID(breach.subject)
        match breach.repair:
            case Repair.RESUME_ORDER:
                return await resumption.of_order(session, thing, transfer_term=self._transfer_term)
            case Repair.BEGIN_REFUND:
                return await resumption.of_refund(session, thing)
            case Repair.RESUME_RETURN:
                return await resumption.of_return(session, thing)
            case Repair.BEGIN_AFTERCARE:
                return await resumption.of_delivered_order(session, thing)
            case Repair.RESUME_REGISTRATION:
                return await resumption.of_account(
                    session,
                    thing,
                    reminder_after=self._reminder_after,
                    verification_window=self._verification_window,
                )
            case Repair.RESUME_ERASURE:
                return await resumption.of_erasure(session, thing)
            case Repair.RESUME_IMPORT:
                return await resumption.of_import(session, thing)
            case Repair.BEGIN_EXPORT:
                return await resumption.of_export(session, thing)
        raise AssertionError(f"{breach.repair} begins no story")

    async def _end_story(self, breach: Breach) -> None:
        """Only a workflow that is still left behind, and not in the middle of anything."""
        if await self.still_wrong([breach]):
            await self._stories.end(breach.subject, why=breach.words)


async def _mended(session: AsyncSession, breach: Breach, actor: str) -> str | None:
    """Repairs within the tables; what stands in their way, if anything does."""
    subject, _, location = breach.subject.partition("/")
    thing = UUID(subject)
    match breach.repair:
        case Repair.WRITE_MISSING_MOVEMENT if breach.law is Law.SHIPPED_GOODS_HAVE_LEFT:
            return await repairs.write_missing_shipments(session, thing, actor=actor)
        case Repair.WRITE_MISSING_MOVEMENT:
            await repairs.write_missing_movement(session, thing, location, actor=actor)
        case Repair.SETTLE_RESERVATIONS:
            return await repairs.settle_reservations(session, thing, location, actor=actor)
        case Repair.HOLD_WHAT_IS_WAITED_FOR:
            return await repairs.hold_what_is_waited_for(session, thing, actor=actor)
        case Repair.KEEP_HOLDS:
            await repairs.keep_holds(session, thing)
        case Repair.RECOUNT_USES:
            return await repairs.recount_uses(session, thing)
        case Repair.RECOUNT_REFUNDS:
            await repairs.recount_refunds(session, thing)
        case Repair.RECOUNT_CREDIT:
            return await repairs.recount_credit(session, thing)
        case Repair.GIVE_CREDIT_BACK:
            await repairs.give_credit_back(session, thing, actor=actor)
        case Repair.COPY_PAYMENT_STATUS:
            await repairs.copy_payment_status(session, thing)
        case Repair.MARK_THE_GAP:
            await repairs.mark_the_gap(session, thing, actor=actor)
        case Repair.CLOSE_CHECKOUT:
            await repairs.close_checkout(session, thing)
    return None


def _taken_over() -> tuple[datetime, list[Breach]] | None:
    """What the worker before us had finished."""
    match activity.info().heartbeat_details:
        case [str(first), list(found)]:
            return datetime.fromisoformat(first), BREACHES.validate_python(found)
    return None


def _in_order(chosen: Collection[Law]) -> list[Law]:
    return [law for law in Law if law in chosen]


def _place(breach: Breach) -> tuple[int, str]:
    return list(Law).index(breach.law), breach.subject
