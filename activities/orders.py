"""Order steps: each is one transaction, safe to repeat."""

from dataclasses import replace

from db import address_changes, cancellations, late_money, orders, placement, refunds
from db.engine import Sessions
from domain.deadlines import Term
from domain.orders import (
    AwaitCustomer,
    AwaitProvider,
    CancelOrder,
    ChangeAddress,
    CloseOrder,
    Closing,
    ConfirmOrder,
    OrderAttention,
    OrderState,
    Placement,
    PlaceOrder,
)
from domain.payments import AwaitTransfer, LateMoneyNoted, MoneyBack, NoteLateMoney, RemindOfTransfer, TransferReceived
from domain.shipping import CancelUnits, UnitsCancelled
from workflows.steps import orders as steps


class OrderActivities:
    def __init__(self, sessions: Sessions, *, provider: str, return_term: Term) -> None:
        self._sessions = sessions
        self._provider = provider
        self._return_term = return_term

    @steps.place.performed_by
    async def place(self, request: PlaceOrder) -> Placement:
        return await placement.place_or_refuse(self._sessions, request, provider=self._provider)

    @steps.await_customer.performed_by
    async def await_customer(self, request: AwaitCustomer) -> OrderState:
        async with self._sessions.begin() as session:
            return await orders.await_customer(session, request)

    @steps.await_provider.performed_by
    async def await_provider(self, request: AwaitProvider) -> OrderState:
        async with self._sessions.begin() as session:
            return await orders.await_provider(session, request)

    @steps.await_transfer.performed_by
    async def await_transfer(self, request: AwaitTransfer) -> OrderState:
        async with self._sessions.begin() as session:
            return await orders.await_transfer(session, request)

    @steps.remind_of_transfer.performed_by
    async def remind_of_transfer(self, request: RemindOfTransfer) -> OrderState:
        async with self._sessions.begin() as session:
            return await orders.remind_of_transfer(session, request)

    @steps.receive_transfer.performed_by
    async def receive_transfer(self, request: TransferReceived) -> OrderState:
        async with self._sessions.begin() as session:
            return await orders.receive_transfer(session, request)

    @steps.confirm.performed_by
    async def confirm(self, request: ConfirmOrder) -> OrderState:
        async with self._sessions.begin() as session:
            return await orders.confirm(session, request)

    @steps.cancel.performed_by
    async def cancel(self, request: CancelOrder) -> OrderState:
        async with self._sessions.begin() as session:
            state = await orders.cancel(session, request)
            if request.money is not MoneyBack.BY_HAND:
                return state
            refund = await refunds.request_for_cancelled_order(session, request.order_id, actor=request.actor)
            return replace(state, refund=await refunds.to_pay_back(session, refund) if refund else None)

    @steps.cancel_units.performed_by
    async def cancel_units(self, request: CancelUnits) -> UnitsCancelled:
        async with self._sessions.begin() as session:
            return await cancellations.cancel_units(session, request)

    @steps.change_address.performed_by
    async def change_address(self, request: ChangeAddress) -> OrderState:
        async with self._sessions.begin() as session:
            return await address_changes.apply(session, request)

    @steps.attend.performed_by
    async def attend(self, request: OrderAttention) -> OrderState:
        async with self._sessions.begin() as session:
            return await orders.attend(session, request)

    @steps.close.performed_by
    async def close(self, request: CloseOrder) -> Closing:
        async with self._sessions.begin() as session:
            return await orders.close(session, request, return_term=self._return_term)

    @steps.note_late_money.performed_by
    async def note_late_money(self, request: NoteLateMoney) -> LateMoneyNoted:
        async with self._sessions.begin() as session:
            return LateMoneyNoted(is_news=await late_money.note(session, request))
