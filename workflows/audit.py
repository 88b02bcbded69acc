"""Whether goods, money and workflows add up, and what is done when they do not."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from domain.audit import (
    LAWS_OF_MONEY,
    AuditReport,
    Breach,
    Conclude,
    Law,
    LookAtBooks,
    Prescription,
    RepairBreach,
    RepairOutcome,
)
from domain.orders import OrderStatus
from workflows import names
from workflows.aftercare import Aftercare
from workflows.apart import NEEDS_NOBODY, about_order, begun_apart
from workflows.catalog_export import CatalogExport
from workflows.catalog_import import CatalogImport
from workflows.checkout import Checkout
from workflows.erasure import Erasure
from workflows.fulfillment import Fulfillment
from workflows.goods_return import Return
from workflows.mailbox import Mailbox
from workflows.refund import Refund
from workflows.registration import Registration
from workflows.steps import audit, payments


@workflow.defn
class Audit:
    """All books beside each other: tables, workflows, and the provider's payments of the last days.

    What seems wrong is looked at twice, because a busy shop is always in the middle of something.
    """

    @workflow.run
    async def run(self, request: LookAtBooks) -> AuditReport:
        seen = [
            *(await audit.look_at_tables(request)).breaches,
            *(await audit.look_at_stories(request)).breaches,
            *(await audit.look_at_money(request)).breaches,
        ]
        return await concluded(request, list(Law), seen)


@workflow.defn
class Reconciliation:
    """The provider's payments beside ours, both ways, for as long back as payments still change."""

    @workflow.run
    async def run(self, request: LookAtBooks) -> AuditReport:
        seen = (await audit.look_at_money(request)).breaches
        return await concluded(request, sorted(LAWS_OF_MONEY), seen)


async def concluded(look: LookAtBooks, laws: list[Law], seen: list[Breach]) -> AuditReport:
    if seen:
        await workflow.sleep(timedelta(seconds=look.pause_seconds), summary="before the second look")
    report = await audit.conclude(Conclude(laws=laws, suspicions=seen))
    workflow.set_current_details(f"{len(report.breaches)} breaches, {report.healed} healed.")
    return report


@workflow.defn
class Repair:
    """One breach is healed, in the name of whoever asked for it, by what can be repeated."""

    @workflow.run
    async def run(self, request: RepairBreach) -> RepairOutcome:
        prescription = await audit.repair(request)
        await self._ask_the_provider(prescription)
        await self._begin_stories(prescription)
        breach = request.breach
        report = await audit.conclude(Conclude(laws=[breach.law], suspicions=[breach]))
        is_healed = breach.key not in {left.key for left in report.breaches}
        return RepairOutcome(is_healed=is_healed, problem=None if is_healed else prescription.problem)

    async def _ask_the_provider(self, prescription: Prescription) -> None:
        if prescription.give_back is not None:
            await payments.give_back(prescription.give_back, summary="give stray money back")
        if prescription.release is not None:
            await payments.release(prescription.release, summary="free what is still held")

    async def _begin_stories(self, prescription: Prescription) -> None:
        if (checkout := prescription.checkout) is not None:
            told = told_of(checkout.order_id, checkout.order_number, checkout.customer, OrderStatus.PENDING)
            await begun(Checkout.run, checkout, names.order_id(checkout.order_id), names.Queue.CHECKOUT, told)
        if (order := prescription.fulfillment) is not None:
            told = told_of(order.order_id, order.order_number, prescription.customer, order.progress.status)
            await begun(Fulfillment.run, order, names.order_id(order.order_id), names.Queue.FULFILLMENT, told)
        if (goods := prescription.follow_return) is not None:
            told = told_of(goods.order_id, goods.order_number, prescription.customer)
            await begun(Return.run, goods, names.return_id(goods.return_id), names.Queue.FULFILLMENT, told)
        if (refund := prescription.refund) is not None:
            told = told_of(refund.order_id, refund.order_number, prescription.customer)
            await begun(Refund.run, refund, names.refund_id(refund.refund_id), names.Queue.PAYMENTS, told)
        if (closing := prescription.aftercare) is not None:
            told = told_of(closing.order_id, closing.order_number, prescription.customer)
            await begun(Aftercare.run, closing, names.aftercare_id(closing.order_id), names.Queue.FULFILLMENT, told)
        await self._begin_what_no_order_asked_for(prescription)

    async def _begin_what_no_order_asked_for(self, prescription: Prescription) -> None:
        if (account := prescription.registration) is not None:
            told = TypedSearchAttributes([SearchAttributePair(names.CUSTOMER_ID, str(account.user_id))])
            registration_id = names.registration_id(account.user_id)
            await begun(Registration.run, account, registration_id, names.Queue.REGISTRATION, told)
        if (person := prescription.erasure) is not None:
            await begun(Erasure.run, person, names.erasure_id(person.erasure_id), names.Queue.REGISTRATION)
        if (file := prescription.catalog_import) is not None:
            import_id = names.catalog_import_id(file.import_id, file.attempt)
            await begun(CatalogImport.run, file, import_id, names.Queue.CATALOG)
        if (wish := prescription.catalog_export) is not None:
            await begun(CatalogExport.run, wish, names.catalog_export_id(wish.export_id), names.Queue.CATALOG)
        if prescription.carry_letters:
            await begun(Mailbox.run, None, names.MAILBOX_ID, names.Queue.NOTIFICATIONS)


def told_of(order: UUID, number: str, customer: str, status: OrderStatus | None = None) -> TypedSearchAttributes:
    """What can be searched for."""
    known = [SearchAttributePair(names.ORDER_STATUS, status)] if status else []
    return about_order(order, number, SearchAttributePair(names.CUSTOMER_ID, customer), NEEDS_NOBODY, *known)


async def begun(
    story: Any, request: Any, workflow_id: str, queue: names.Queue, told: TypedSearchAttributes | None = None
) -> None:
    """Begin a story that outlives the repair, under the id that it has always had; content when it runs."""
    about = told or TypedSearchAttributes.empty
    await begun_apart(story, request, workflow_id=workflow_id, queue=queue, about=about, is_told_once=False)
