"""The engine is killed between a person's word and its answer, and nobody says it again: the story has heard it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.testing import WorkflowEnvironment

from deploy import probes
from deploy.embedded.temporal import temporal
from deploy.ports import free_ports
from deploy.processes import Child, kill_session, spawn
from domain.attention import Decision
from domain.money import Money
from domain.orders import AskToCancel, ChangeAddress, OrderStatus, Resolve
from domain.payments import PaymentCapture, TransferReceived
from domain.refunds import PaymentRefund, RefundMoney
from domain.returns import DecideReturn, FollowReturn, ReceiveReturn, ReturnState, ReturnStatus, SettleReturn
from domain.shipping import (
    CancelUnits,
    FulfillmentStatus,
    FulfillOrder,
    GiveUpParcel,
    HoldOrder,
    MoveParcel,
    PlanShipment,
    ReleaseOrder,
    Remedy,
    ShipParcel,
    Undelivered,
    Units,
)
from runtime.temporal import DATA_CONVERTER
from tests.support.waiting import eventually
from tests.workflows.shop import TOTAL, UNITS, Fulfilling, Shop, answering, serving, to_fulfill
from tests.workflows.test_checkout import ended, goes_on_as_fulfillment
from tests.workflows.test_transfers import WEEK, by_hand, by_transfer, waiting
from workflows.checkout import Checkout
from workflows.names import SEARCH_ATTRIBUTES
from workflows.steps import orders, payments, refunds, returns, shipping
from workflows.steps.step import Step

Request = TypeVar("Request")
Result = TypeVar("Result")
BY_CUSTOMER = AskToCancel(reason="changed my mind", actor="customer:1")


class MortalEngine:
    """The engine of production with its state in a file, to be killed and to come back."""

    def __init__(self, directory: Path) -> None:
        self.port, http_port = free_ports(2)
        database = directory / "temporal.sqlite3"
        self._log = directory / "temporal.log"
        self._service = temporal(database, self.port, http_port=http_port, ui_port=None, attributes=SEARCH_ATTRIBUTES)
        self._child: Child | None = None

    def start(self) -> None:
        self._service.prepare()
        self._child = spawn(self._service, self._log)
        assert probes.awaited(self._service.ready, within=60), self._log.read_text()
        self._service.settle()

    def kill(self) -> None:
        if self._child is not None:
            kill_session(self._child.pid)
            self._child.process.wait()

    def kill_and_start(self) -> None:
        self.kill()
        self.start()


@pytest.fixture(scope="module")
async def mortal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MortalEngine]:
    engine = MortalEngine(tmp_path_factory.mktemp("mortal"))
    engine.start()  # from the main thread: it leaves with the thread that started it
    yield engine
    engine.kill()


@pytest.fixture
async def shop(mortal: MortalEngine) -> AsyncIterator[Shop]:
    client = await Client.connect(f"127.0.0.1:{mortal.port}", data_converter=DATA_CONVERTER)
    shop = Shop(WorkflowEnvironment.from_client(client))
    async with serving(shop):
        yield shop


@dataclass
class Accidents:
    """The engine dies when a step has done its work and nobody has heard of that yet."""

    mortal: MortalEngine
    shop: Shop

    async def strikes_after(
        self,
        step: Step[Request, Result],
        usually: Callable[[Request], Awaitable[Result]],
        story: WorkflowHandle[Any, Any],
        update: str,
        word: Any,
    ) -> None:
        """Somebody says this once, hears nothing, and does not come back; the story carries it out."""
        is_done, is_left_alone = asyncio.Event(), asyncio.Event()

        async def behave(request: Request) -> Result:
            done = await usually(request)
            if not is_done.is_set():
                is_done.set()
                await is_left_alone.wait()
                self.mortal.kill_and_start()
            return done

        self.shop.when(step, behave)
        saying = asyncio.create_task(story.execute_update(update, word, id=(name := str(uuid4()))))
        await is_done.wait()
        saying.cancel()
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await saying
        is_left_alone.set()
        await eventually(lambda: is_carried_out(story, name), within=60)


async def is_carried_out(story: WorkflowHandle[Any, Any], name: str) -> bool:
    """Does the history of the story say of the word that it was done?"""
    events = (await story.fetch_history()).events
    accepted = [
        event.event_id
        for event in events
        if event.workflow_execution_update_accepted_event_attributes.protocol_instance_id == name
    ]
    completed = [event.workflow_execution_update_completed_event_attributes for event in events]
    return any(
        done.accepted_event_id in accepted and done.outcome.HasField("success") for done in completed if accepted
    )


@pytest.fixture
def accidents(mortal: MortalEngine, shop: Shop) -> Accidents:
    return Accidents(mortal, shop)


def moves(request: FulfillOrder, parcel: UUID) -> MoveParcel:
    return MoveParcel(order_id=request.order_id, fulfillment_id=parcel, actor="operator:1")


def packs(request: FulfillOrder, units: int) -> PlanShipment:
    items = [Units(order_line_id=uuid4(), quantity=units)]
    return PlanShipment(order_id=request.order_id, fulfillment_id=uuid4(), actor="operator:1", items=items)


def ships(request: FulfillOrder, parcel: UUID) -> ShipParcel:
    return ShipParcel(
        order_id=request.order_id, fulfillment_id=parcel, carrier="UPS", tracking_number="1Z", actor="operator:1"
    )


@pytest.mark.matrix("ship: the engine is killed when the parcel has left, and nobody asks again")
async def test_a_fulfillment_knows_of_every_deed_although_the_engine_was_killed_after_it(accidents: Accidents) -> None:
    """Packed, unpacked, packed, shipped, lost, shipped again and delivered; a unit is cancelled in between."""
    shop, request = accidents.shop, to_fulfill()
    story = await shop.fulfill(request)
    unpacked, first = packs(request, 1), packs(request, 1)
    dropped, second = drops(request), packs(request, 1)

    await accidents.strikes_after(shipping.plan, shop.usually_plan, story, "plan_shipment", unpacked)
    await accidents.strikes_after(
        shipping.cancel,
        shop.usually_cancel_parcel,
        story,
        "cancel_shipment",
        moves(request, unpacked.fulfillment_id),
    )
    await accidents.strikes_after(orders.cancel_units, shop.usually_cancel_units, story, "cancel_units", dropped)
    for parcel in (first, second):
        await story.execute_update("plan_shipment", parcel)
    await accidents.strikes_after(shipping.ship, shop.usually_ship, story, "ship", ships(request, first.fulfillment_id))
    lost = GiveUpParcel(
        order_id=request.order_id,
        fulfillment_id=first.fulfillment_id,
        why=Undelivered.LOST,
        remedy=Remedy.RESHIP,
        is_resellable=False,
        replacement_id=uuid4(),
        refund_id=uuid4(),
        actor="operator:1",
    )
    await accidents.strikes_after(shipping.give_up, shop.usually_give_up, story, "give_up_parcel", lost)
    for parcel_id in (lost.replacement_id, second.fulfillment_id):
        await story.execute_update("ship", ships(request, parcel_id))
    await story.execute_update("deliver", moves(request, second.fulfillment_id))
    await accidents.strikes_after(
        shipping.deliver, shop.usually_deliver, story, "deliver", moves(request, lost.replacement_id)
    )

    assert await story.result() is OrderStatus.DELIVERED


def drops(request: FulfillOrder) -> CancelUnits:
    return CancelUnits(
        cancellation_id=uuid4(),
        order_id=request.order_id,
        actor="customer:1",
        items=[Units(order_line_id=uuid4(), quantity=1)],
    )


@pytest.mark.matrix("cancel: the engine is killed when the money is back, and nobody asks again")
@pytest.mark.parametrize("step", ["money", "order"])
async def test_an_order_whose_cancel_was_interrupted_is_cancelled(accidents: Accidents, step: str) -> None:
    shop, request = accidents.shop, to_fulfill()
    story = await shop.fulfill(request)

    if step == "money":
        await accidents.strikes_after(payments.give_back, shop.usually_give_back, story, "cancel", BY_CUSTOMER)
    else:
        await accidents.strikes_after(orders.cancel, shop.usually_cancel, story, "cancel", BY_CUSTOMER)

    assert await story.result() is OrderStatus.CANCELLED
    assert shop.is_as_it_was


CARD_DECLINED = PaymentCapture(is_captured=False, refusal="card_declined")
LAPSED = PaymentCapture(is_captured=False, refusal="payment_intent_unexpected_state", has_lapsed=True)


def decides(decision: Decision) -> Resolve:
    return Resolve(decision=decision, actor="operator:1", note_id=uuid4())


async def refused_to_ship(shop: Shop, story: Fulfilling, request: FulfillOrder, why: PaymentCapture) -> UUID:
    """A parcel with the whole order, for which the provider refuses to take the money this once."""
    await story.execute_update("plan_shipment", parcel := packs(request, UNITS))
    shop.when(payments.capture, answering(why))
    with pytest.raises(WorkflowUpdateFailedError):
        await story.execute_update("ship", ships(request, parcel.fulfillment_id))
    shop.when(payments.capture, shop.usually_capture)
    return parcel.fulfillment_id


@pytest.mark.matrix("ship: the engine is killed when a person's decision is carried out, and nobody decides again")
async def test_a_parcel_that_a_person_has_tried_again_is_paid_and_leaves(accidents: Accidents) -> None:
    shop, request = accidents.shop, to_fulfill()
    story = await shop.fulfill(request)
    parcel = await refused_to_ship(shop, story, request, LAPSED)

    await accidents.strikes_after(payments.renew, shop.usually_renew, story, "resolve", decides(Decision.RETRY))

    assert shop.parcels[parcel][0] is FulfillmentStatus.SHIPPED
    assert shop.captured == TOTAL.minor
    await story.execute_update("deliver", moves(request, parcel))
    assert await story.result() is OrderStatus.DELIVERED


@pytest.mark.matrix("ship: the engine is killed when a person's decision is carried out, and nobody decides again")
async def test_an_order_that_a_person_has_given_up_is_cancelled(accidents: Accidents) -> None:
    shop, request = accidents.shop, to_fulfill()
    story = await shop.fulfill(request)
    await refused_to_ship(shop, story, request, CARD_DECLINED)

    await accidents.strikes_after(
        payments.give_back, shop.usually_give_back, story, "resolve", decides(Decision.CANCEL)
    )

    assert await story.result() is OrderStatus.CANCELLED
    assert shop.is_as_it_was


@pytest.mark.matrix("ship: the engine is killed when the parcel has left, and nobody asks again")
async def test_an_order_is_held_released_and_sent_elsewhere_although_the_engine_was_killed(
    accidents: Accidents,
) -> None:
    shop, request = accidents.shop, to_fulfill()
    story, parcel = await shop.fulfill(request), packs(request, UNITS)
    order: dict[str, Any] = {"order_id": request.order_id, "actor": "operator:1"}
    await story.execute_update("plan_shipment", parcel)

    await accidents.strikes_after(shipping.hold, shop.usually_hold, story, "hold", HoldOrder(**order, note_id=uuid4()))
    with pytest.raises(WorkflowUpdateFailedError):
        await story.execute_update("ship", ships(request, parcel.fulfillment_id))
    await accidents.strikes_after(shipping.release, shop.usually_release_order, story, "release", ReleaseOrder(**order))
    await accidents.strikes_after(
        orders.change_address,
        shop.usually_change_address,
        story,
        "change_address",
        ChangeAddress(**order, change_id=uuid4()),
    )

    await story.execute_update("ship", ships(request, parcel.fulfillment_id))
    await story.execute_update("deliver", moves(request, parcel.fulfillment_id))
    assert await story.result() is OrderStatus.DELIVERED


@pytest.mark.matrix("return: the engine is killed when a person's word is carried out, and nobody says it again")
async def test_goods_come_back_and_are_paid_although_the_engine_was_killed_at_every_word(
    accidents: Accidents,
) -> None:
    """Approved, and taken in: the refund is refused at first, and asked for anew."""
    shop, request = accidents.shop, a_return()
    story = await shop.follow_return(request)
    parcel = ReceiveReturn(**about(request), refund_id=uuid4())
    owed = a_refund(request)
    shop.captured = owed.amount.minor

    async def to_pay_back(received: ReceiveReturn) -> ReturnState:
        return replace(await shop.usually_receive_return(received), refund=owed)

    await accidents.strikes_after(
        returns.decide, shop.usually_decide_return, story, "approve", decides_return(request, ReturnStatus.APPROVED)
    )
    shop.when(refunds.pay_back, answering(PaymentRefund(is_refunded=False, refusal="no money")))
    shop.when(returns.receive, to_pay_back)
    with pytest.raises(WorkflowUpdateFailedError):
        await story.execute_update("receive", parcel)
    owed = a_refund(request)
    shop.when(refunds.pay_back, shop.usually_pay_back)
    await accidents.strikes_after(returns.receive, to_pay_back, story, "receive", parcel)

    assert await story.result() is ReturnStatus.REFUNDED
    assert shop.refunded == shop.captured


@pytest.mark.matrix("return: the engine is killed when a person's word is carried out, and nobody says it again")
async def test_a_return_that_was_paid_back_elsewhere_is_settled_although_the_engine_was_killed(
    accidents: Accidents,
) -> None:
    shop, request = accidents.shop, a_return(status=ReturnStatus.RECEIVED)
    story = await shop.follow_return(request)

    await accidents.strikes_after(
        returns.settle, shop.usually_settle_return, story, "do_without_refund", SettleReturn(**about(request))
    )

    assert await story.result() is ReturnStatus.REFUNDED


def a_return(**otherwise: Any) -> FollowReturn:
    return FollowReturn(return_id=uuid4(), order_id=uuid4(), order_number="S-1001", **otherwise)


def about(request: FollowReturn) -> dict[str, Any]:
    return {"return_id": request.return_id, "order_id": request.order_id, "actor": "operator:1"}


def decides_return(request: FollowReturn, decision: ReturnStatus) -> DecideReturn:
    return DecideReturn(**about(request), decision=decision)


def a_refund(request: FollowReturn) -> RefundMoney:
    return RefundMoney(
        refund_id=uuid4(),
        order_id=request.order_id,
        order_number=request.order_number,
        payment_id=uuid4(),
        amount=Money(1000, "USD"),
    )


async def test_the_money_of_a_sent_order_is_known_to_have_come(accidents: Accidents) -> None:
    shop, request = accidents.shop, to_fulfill(transfer_due_at=datetime.now(UTC) + WEEK)
    story, parcel = await shop.fulfill(request), packs(request, UNITS)
    await story.execute_update("plan_shipment", parcel)
    for update, word in (
        ("ship", ships(request, parcel.fulfillment_id)),
        ("deliver", moves(request, parcel.fulfillment_id)),
    ):
        await story.execute_update(update, word)
    received = TransferReceived(order_id=request.order_id, actor="operator:1", note_id=uuid4())

    await accidents.strikes_after(
        orders.receive_transfer, shop.usually_receive_transfer, story, "payment_received", received
    )

    assert await story.result() is OrderStatus.DELIVERED


@pytest.mark.matrix("checkout: the engine is killed when a person's word is carried out, and nobody says it again")
@pytest.mark.parametrize("update", ["payment_received", "resolve"])
async def test_an_order_that_a_person_has_confirmed_goes_on_as_confirmed(accidents: Accidents, update: str) -> None:
    shop, request = accidents.shop, by_hand()
    by_transfer(shop)
    checkout = await waiting(shop, request)
    words = {
        "payment_received": TransferReceived(order_id=request.order_id, actor="operator:1", note_id=uuid4()),
        "resolve": Resolve(decision=Decision.SKIP, actor="operator:1", note_id=uuid4()),
    }

    await accidents.strikes_after(orders.confirm, shop.usually_confirm, checkout, update, words[update])

    await checkout.signal(Checkout.hand_over)
    fulfilling = await goes_on_as_fulfillment(shop, checkout)
    assert fulfilling.order_id == request.order_id
    assert shop.order is OrderStatus.CONFIRMED
    assert "orders.cancel" not in shop.steps


async def test_a_checkout_whose_cancel_was_interrupted_is_cancelled(accidents: Accidents) -> None:
    shop, request = accidents.shop, by_hand()
    by_transfer(shop)
    checkout = await waiting(shop, request)

    await accidents.strikes_after(orders.cancel, shop.usually_cancel, checkout, "cancel", BY_CUSTOMER)

    outcome = await ended(checkout)
    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    assert shop.is_as_it_was
