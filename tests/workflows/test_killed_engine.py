"""The engine is killed between a person's word and its answer, and nobody says it again: the story has heard it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.testing import WorkflowEnvironment

from deploy import probes
from deploy.embedded.temporal import temporal
from deploy.ports import free_ports
from deploy.processes import Child, kill_session, spawn
from domain.attention import Decision
from domain.orders import AskToCancel, OrderStatus, Resolve
from domain.payments import TransferReceived
from domain.shipping import (
    CancelUnits,
    FulfillOrder,
    GiveUpParcel,
    MoveParcel,
    PlanShipment,
    Remedy,
    ShipParcel,
    Undelivered,
    Units,
)
from runtime.temporal import DATA_CONVERTER
from tests.support.waiting import eventually
from tests.workflows.shop import UNITS, Shop, serving, to_fulfill
from tests.workflows.test_checkout import ended, goes_on_as_fulfillment
from tests.workflows.test_transfers import WEEK, by_hand, by_transfer, waiting
from workflows.checkout import Checkout
from workflows.names import SEARCH_ATTRIBUTES
from workflows.steps import orders, payments, shipping
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
