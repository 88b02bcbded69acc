"""Money that arrived although no order wants it."""

from datetime import timedelta

from temporalio import workflow

from domain.payments import GiveMoneyBack, LookIntoStray, MoneyBack, NoteLateMoney, StrayFound
from workflows import names
from workflows.steps import orders, payments

GRACE = timedelta(minutes=10)
"""How long an order that our books do not know yet may take to appear in them."""


@workflow.defn
class StrayPayment:
    """Ask the provider, and give back what no order wants: one that was cancelled before, or paid with other money.

    Webhooks are hints, however many come and in whichever order: each makes us ask, and money goes back once.
    """

    @workflow.init
    def __init__(self, request: LookIntoStray) -> None:
        self._request = request
        self._has_news = True

    @workflow.run
    async def run(self, request: LookIntoStray) -> MoneyBack:
        workflow.set_current_details(f"Asks the provider what {request.reference} is.")
        back = MoneyBack.NOTHING_TAKEN
        while self._has_news:
            self._has_news = False
            found = await self._found()
            if found.amount is not None and not found.is_wanted:
                back = await self._give_back(found)
        workflow.set_current_details(f"{request.reference}: {back.replace('_', ' ')}.")
        return back

    async def _found(self) -> StrayFound:
        found = await payments.inspect(self._request)
        if found.is_wanted or found.amount is None or found.order_id is not None:
            return found
        await workflow.sleep(GRACE, summary="how long the order of this money may take to appear")
        return await payments.inspect(self._request)

    async def _give_back(self, found: StrayFound) -> MoneyBack:
        reference, amount = self._request.reference, found.amount
        if amount is None:
            raise AssertionError("nothing is given back of nothing")
        workflow.set_current_details(f"Gives back {amount}, which arrived as {reference} for no living order.")
        given_back = await payments.give_back(
            GiveMoneyBack(
                payment_id=found.payment_id or workflow.uuid4(),
                order_id=found.order_id or workflow.uuid4(),
                total=amount,
                authorize_key=names.stray_id(reference),
                reference=reference,
            ),
            summary=f"give back {amount}",
        )
        await orders.note_late_money(
            NoteLateMoney(reference=reference, amount=amount, how=given_back.how, order_id=found.order_id)
        )
        return given_back.how

    @workflow.signal(description="The provider's webhook told us something about this payment")
    def provider_event(self, event_id: str) -> None:
        self._has_news = True
