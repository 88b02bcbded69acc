"""Record how the stories go today, so that tomorrow's code can be held to it.

    python -m tests.replay.record

plays every case below against the whole real shop and writes what the engine kept of it to
``tests/replay/histories/<Type>-<case>.json``. A history that is there is never written over: it stands for orders
that may still be on their way, begun by the code of its day. After a change of a story, record again and keep both;
delete a history only when no running workflow can be as old as it is.

It is a test that only this command runs, which lends it the shop of the tests.
"""

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, text
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle, WorkflowHistory

from api.confirmations import begin_confirmation
from api.stories import Stories
from db import confirmations, erasures, exports, imports, shipping_rates, webhooks
from db.base import new_id
from db.confirmations import Confirmation
from db.customers import User
from domain.attention import Concern
from domain.audit import Breach, Law, LookAtBooks, Repair, RepairBreach
from domain.confirmations import AskForConfirmation
from domain.customers import RegisterCustomer
from domain.deadlines import PATIENCE, Wait, Waiting
from domain.erasures import ErasePerson
from domain.exports import ExportStatus, WriteExport
from domain.imports import FileFormat, ImportCatalog, ImportStatus, TidyUp
from domain.money import Money
from domain.notifications import Occasion
from domain.orders import CheckoutStatus, OrderAftercare, OrderStatus, StartCheckout
from domain.shipping import FulfillmentSoFar, FulfillOrder, MoveParcel, PlanShipment, ShipParcel
from domain.shipping_rates import Band, PricedBy
from domain.taxes import TaxMode
from runtime.resources import Resources, opened
from runtime.settings import Settings, Tax
from tests.support.catalog import AProduct, a_product
from tests.support.files import Importer, a_mark, a_waiting_export, a_waiting_import, csv_of
from tests.support.ledger import late_money, moved, moved_by
from tests.support.orders import a_cart, to_place
from tests.support.people import Person, mailed_token
from tests.support.receiver import Receiver, a_receiver
from tests.support.shopper import ADDRESS, Shopper
from tests.support.waiting import eventually
from tests.support.webhooks import an_endpoint
from workers.histories import keep, without_machines
from workers.run import serving
from workflows.aftercare import Aftercare
from workflows.audit import Audit, Reconciliation
from workflows.audit import Repair as RepairStory
from workflows.cart_tidying import CartTidying
from workflows.catalog_export import CatalogExport
from workflows.catalog_import import CatalogImport, CatalogTidying
from workflows.checkout import UNDECIDED, Checkout
from workflows.erasure import Erasure
from workflows.fulfillment import Fulfillment
from workflows.names import (
    CART_TIDYING_ID,
    CATALOG_TIDYING_ID,
    EVENT_RELAY_ID,
    MAILBOX_ID,
    WEBHOOK_DISPATCH_ID,
    Queue,
    aftercare_id,
    catalog_export_id,
    catalog_import_id,
    confirmation_id,
    erasure_id,
    order_id,
    refund_id,
    registration_id,
    reminder_id,
    repair_id,
    return_id,
    stray_id,
    tracking_id,
    webhook_delivery_id,
    webhook_probe_id,
)
from workflows.registration import Registration

HISTORIES = Path(__file__).parent / "histories"

PLANTED = "planted"
"""In every name, address, mail address and password of the recorded runs; no history may contain it."""

LABEL: dict[str, Any] = {"carrier": "UPS", "tracking_number": "1Z999"}
BANK_WANTS_TO_SEE_THE_PAYER = "pm_card_threeDSecure2Required"


class Recorder:
    """A customer with a planted name, an operator, and the engine that keeps what they do."""

    def __init__(
        self, http: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
    ) -> None:
        self.http = http
        self.sandbox = sandbox
        self.resources = resources
        self.operator = operator

    async def shopper(self, person: Person) -> Shopper:
        return Shopper(self.http, email=person.email, headers=person.headers)

    async def product(self, stock: int = 9) -> AProduct:
        return await a_product(self.resources.sessions, price="10.00", stock=stock)

    async def check_out(self, shopper: Shopper, product: AProduct, quantity: int, **how: Any) -> dict[str, Any]:
        cart = await shopper.a_cart((product.variant_id, quantity))
        address = {**ADDRESS, "name": f"{PLANTED} Person", "line1": f"1 {PLANTED} Lane", "city": f"{PLANTED}ville"}
        await shopper.send("PUT", f"/v1/carts/{cart}/shipping-address", json=address)
        told = await shopper.check_out(cart, **how)
        assert told.status_code in (201, 202, 402, 409), told.text
        answer: dict[str, Any] = told.json()
        return answer

    async def desk(self, path: str, body: Any = None) -> httpx.Response:
        return await self.http.post(f"/v1/admin{path}", json=body, headers=self.operator)

    async def pack(self, order: dict[str, Any], *items: tuple[str, int]) -> str:
        wanted = {"items": [{"order_item_id": line, "quantity": quantity} for line, quantity in items]} if items else {}
        packed = await self.desk(f"/orders/{order['id']}/fulfillments", wanted)
        assert packed.status_code == 201, packed.text
        return str(packed.json()["id"])

    async def newest_order_of(self, shopper: Shopper) -> dict[str, Any]:
        order: dict[str, Any] = (await shopper.send("GET", "/v1/orders")).json()["items"][0]
        return order

    async def both_chapters(self, order: str, checkout: str, fulfillment: str) -> None:
        """Keep the order's Fulfillment, when it is over, and the Checkout that it was begun by."""
        workflow_id = order_id(UUID(order))
        successor = self.resources.temporal.get_workflow_handle(workflow_id)
        await self._keep(successor, fulfillment)
        begun = (await successor.fetch_history()).events[0].workflow_execution_started_event_attributes
        first = self.resources.temporal.get_workflow_handle(workflow_id, run_id=begun.continued_execution_run_id)
        kept(await first.fetch_history(), checkout)

    async def so_far(self, workflow_id: str, name: str) -> None:
        """Keep what a story that does not end has told until now."""
        kept(await self.resources.temporal.get_workflow_handle(workflow_id).fetch_history(), name)

    async def begun_in_the_middle(self, order: dict[str, Any], **how: Any) -> WorkflowHandle[Any, OrderStatus]:
        request = FulfillOrder(
            order_id=UUID(order["id"]),
            order_number=order["number"],
            payment_id=await self.payment_id(order),
            total=Money(int(Decimal(order["totals"]["total"]["amount"]) * 100), "USD"),
            units=sum(item["quantity"] for item in order["items"]),
            authorize_key=f"order/{order['id']}/authorize/1",
            **how,
        )
        return await self.resources.temporal.start_workflow(
            Fulfillment.run, request, id=f"recorded:{uuid4()}", task_queue=Queue.FULFILLMENT
        )

    async def payment_id(self, order: dict[str, Any]) -> UUID:
        async with self.resources.sessions() as session:
            found: UUID = (
                await session.execute(text("SELECT id FROM payments WHERE order_id = :id"), {"id": UUID(order["id"])})
            ).scalar_one()
        return found

    async def is_called_for(self, order: dict[str, Any]) -> bool:
        shown = await self.http.get(f"/v1/orders/{order['id']}", headers=self.operator)
        return bool(shown.json()["needs_attention"])

    async def waits_with(self, workflow_id: str) -> bool:
        """Has the story come to a timer of its own?"""
        history = await self.resources.temporal.get_workflow_handle(workflow_id).fetch_history()
        return any(event.HasField("timer_started_event_attributes") for event in history.events)

    async def one_chapter(self, workflow_id: str, name: str) -> None:
        await self._keep(self.resources.temporal.get_workflow_handle(workflow_id), name)

    async def _keep(self, handle: WorkflowHandle[Any, Any], name: str) -> None:
        await eventually(lambda: is_over(handle))
        kept(await handle.fetch_history(), name)


def kept(history: WorkflowHistory, name: str) -> None:
    keep(without_machines(history), HISTORIES / f"{name}.json")


@pytest.fixture
async def recorder(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> Recorder:
    HISTORIES.mkdir(exist_ok=True)
    return Recorder(api, sandbox, resources, operator)


@pytest.fixture
async def person(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    somebody = Person(api, username=f"{PLANTED}.{uuid4().hex[:12]}", password=f"{PLANTED} password")
    assert (await somebody.register()).status_code == 202
    assert (await somebody.verify(sandbox)).status_code == 200
    return await somebody.sign_in()


async def test_checkouts_that_ask_about_taxes(settings: Settings, sandbox: httpx.AsyncClient) -> None:
    """First of all, while no other workers are there: these belong to a shop that asks a tax provider."""
    HISTORIES.mkdir(exist_ok=True)
    taxed = settings.model_copy(update={"tax": Tax(mode=TaxMode.PROVIDER)})
    async with opened(taxed) as shop, serving(shop):
        product = await a_product(shop.sessions, price="10.00", stock=9)
        answered = await taken_in(shop, product, units=1)
        stories = Stories(shop.temporal, shop.sessions, wait_seconds=30)
        assert (await stories.check_out(answered) or UNDECIDED).status is CheckoutStatus.CONFIRMED
        handle = shop.temporal.get_workflow_handle_for(Checkout.run, order_id(answered.order_id))
        first = (await handle.describe()).run_id
        await handle.signal(Checkout.hand_over)
        over = shop.temporal.get_workflow_handle(order_id(answered.order_id), run_id=first)
        await eventually(lambda: is_over(over))
        kept(await over.fetch_history(), "Checkout-taxes_asked")

        silence = {"payments": {"next": [{"operation": "tax", "fault": "error"}] * 50}}
        await sandbox.put("/faults", json=silence)
        unanswered = await taken_in(shop, product, units=2)
        assert (await stories.check_out(unanswered) or UNDECIDED).status is CheckoutStatus.REFUSED
        await sandbox.delete("/faults")
        refused = shop.temporal.get_workflow_handle(order_id(unanswered.order_id))
        await eventually(lambda: is_over(refused))
        kept(await refused.fetch_history(), "Checkout-taxes_unavailable")


async def taken_in(shop: Resources, product: AProduct, *, units: int) -> StartCheckout:
    wish = await to_place(shop.sessions, await a_cart(shop.sessions, (product.variant_id, units)))
    return StartCheckout(
        order_id=wish.order_id,
        order_number=wish.order_number,
        cart_id=wish.cart_id,
        payment_id=wish.payment_id,
        payment_method="pm_card_visa",
        customer="guest",
    )


async def is_over(handle: WorkflowHandle[Any, Any]) -> bool:
    return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING


async def test_registrations(recorder: Recorder, person: Person) -> None:
    me = (await person.me()).json()
    await recorder.one_chapter(registration_id(UUID(me["id"])), "Registration-verified")

    name = f"{PLANTED}.{uuid4().hex[:12]}"
    async with recorder.resources.sessions.begin() as session:
        never_came = User(username=name, email=f"{name}@example.com", password_hash=f"{PLANTED}-hash")
        session.add(never_came)
    await recorder.resources.temporal.start_workflow(
        Registration.run,
        RegisterCustomer(user_id=never_came.id, reminder_after_seconds=1, expires_after_seconds=2),
        id=registration_id(never_came.id),
        task_queue=Queue.REGISTRATION,
    )
    await recorder.one_chapter(registration_id(never_came.id), "Registration-expired")


async def test_mailed_links(recorder: Recorder, person: Person) -> None:
    for is_followed, name in ((True, "Confirmation-confirmed"), (False, "Confirmation-expired")):
        lasts = timedelta(hours=1) if is_followed else timedelta(seconds=2)
        async with recorder.resources.sessions.begin() as session:
            asked = await confirmations.ask_for_reset(session, person.email, lasts=lasts)
        await begin_confirmation(
            recorder.resources,
            AskForConfirmation(
                confirmation_id=asked.confirmation_id,
                letters=[Occasion.PASSWORD_RESET],
                expires_after_seconds=int(lasts.total_seconds()),
            ),
            summary="A recorded confirmation",
            user_id=asked.user_id,
        )
        if is_followed:
            token = await mailed_token(recorder.sandbox, person.email, "password-reset")
            chosen = {"token": token, "password": f"{PLANTED} new password"}
            assert (await person.http.post("/v1/auth/password-reset/confirm", json=chosen)).status_code == 200
        await recorder.one_chapter(confirmation_id(asked.confirmation_id), name)

    async with recorder.resources.sessions.begin() as session:
        asked = await confirmations.ask_for_reset(
            session, f"{PLANTED}.{uuid4().hex}@example.com", lasts=timedelta(hours=1)
        )
    request = AskForConfirmation(
        confirmation_id=asked.confirmation_id, letters=[Occasion.PASSWORD_RESET], expires_after_seconds=3600
    )
    await begin_confirmation(recorder.resources, request, summary="A recorded confirmation", user_id=None)
    await recorder.one_chapter(confirmation_id(asked.confirmation_id), "Confirmation-nobody_asked")

    password = f"{PLANTED} new password"
    signed_in = await Person(person.http, email=person.email, password=password).sign_in()
    wish = {"email": f"{PLANTED}.{uuid4().hex}@example.com", "current_password": password}
    asked_for = await person.http.post("/v1/users/me/email", json=wish, headers=signed_in.headers)
    assert asked_for.status_code == 202, asked_for.text
    token = await mailed_token(recorder.sandbox, person.email, "email-change")
    assert (await person.http.post("/v1/auth/email-change/refuse", json={"token": token})).status_code == 200
    async with recorder.resources.sessions() as session:
        found = await session.scalars(select(Confirmation.id).where(Confirmation.email == wish["email"]))
        changed = found.one()
    await recorder.one_chapter(confirmation_id(changed), "Confirmation-refused")


async def test_people_who_are_forgotten(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    wish = {"user_id": (await person.me()).json()["id"]}
    asked = (await recorder.desk("/erasures", wish)).json()["id"]
    await eventually(lambda: recorder.waits_with(erasure_id(UUID(asked))))
    await recorder.so_far(erasure_id(UUID(asked)), "Erasure-waiting")

    parcel = await recorder.pack(order)
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    assert (await recorder.desk(f"/fulfillments/{parcel}/deliver")).status_code == 200
    story = f"recorded:{uuid4()}"
    await recorder.resources.temporal.execute_workflow(
        Erasure.run, ErasePerson(erasure_id=UUID(asked)), id=story, task_queue=Queue.REGISTRATION
    )
    await recorder.one_chapter(story, "Erasure-erased")


async def test_the_mailbox(recorder: Recorder) -> None:
    await recorder.so_far(MAILBOX_ID, "Mailbox-carrying")


async def test_the_event_relay(recorder: Recorder) -> None:
    await recorder.so_far(EVENT_RELAY_ID, "EventRelay-carrying")


async def test_webhooks_that_are_taken_and_that_are_not(recorder: Recorder, person: Person) -> None:
    resources = recorder.resources
    shopper, product = await recorder.shopper(person), await recorder.product()
    async with a_receiver() as receiver:
        endpoint = await an_endpoint(resources, receiver.url, "order.placed", "order.confirmed")
        refusals = iter([503])
        receiver.answers = lambda _: next(refusals, 200)
        order = await recorder.check_out(shopper, product, 1)
        await eventually(lambda: _has_taken(receiver, 2))
        await recorder.one_chapter(webhook_delivery_id(endpoint, order["id"]), "Delivery-tried-again")
        receiver.answers = lambda _: 410
        gone = await recorder.check_out(shopper, product, 1)
        await eventually(lambda: _is_probed(resources, endpoint))
        await recorder.one_chapter(webhook_delivery_id(endpoint, gone["id"]), "Delivery-gone")
        async with resources.sessions.begin() as session:
            await webhooks.remove(session, endpoint)
        probe = resources.temporal.get_workflow_handle(webhook_probe_id(endpoint))
        await eventually(lambda: is_over(probe), within=100)
        await recorder.one_chapter(probe.id, "EndpointProbe-removed")
    await recorder.so_far(WEBHOOK_DISPATCH_ID, "Dispatch-handing-out")


async def _has_taken(receiver: Receiver, events: int) -> bool:
    return len(receiver.taken) >= events


async def _is_probed(resources: Resources, endpoint: UUID) -> bool:
    async with resources.sessions() as session:
        return (await webhooks.endpoint(session, endpoint)).status == "paused"


async def test_an_order_delivered_in_two_parcels(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 3)
    [line] = [item["id"] for item in order["items"]]
    unpacked = await recorder.pack(order)
    assert (await recorder.desk(f"/fulfillments/{unpacked}/cancel")).status_code == 200
    parcels = [await recorder.pack(order, (line, 1)), await recorder.pack(order)]
    for move in ("ship", "deliver"):
        for parcel in parcels:
            moved_on = await recorder.desk(f"/fulfillments/{parcel}/{move}", LABEL if move == "ship" else None)
            assert moved_on.status_code == 200, moved_on.text
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-delivered")


async def test_an_order_on_its_way_in_time(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 2)
    [line] = [item["id"] for item in order["items"]]
    parcels = [await recorder.pack(order, (line, 1)), await recorder.pack(order)]
    for move in ("ship", "deliver"):
        for parcel in parcels:
            moved_on = await recorder.desk(f"/fulfillments/{parcel}/{move}", LABEL if move == "ship" else None)
            assert moved_on.status_code == 200, moved_on.text
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-in_time")


async def test_an_order_that_is_held_and_released(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    parcel = await recorder.pack(order)
    held = await recorder.desk(f"/orders/{order['id']}/hold", {"reason": f"{PLANTED} words"})
    assert held.status_code == 200, held.text
    assert (await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)).status_code == 409
    assert (await recorder.desk(f"/orders/{order['id']}/release")).status_code == 200
    assert (await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)).status_code == 200
    assert (await recorder.desk(f"/fulfillments/{parcel}/deliver")).status_code == 200
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-held_and_released")


async def test_orders_that_cost_nothing(recorder: Recorder, person: Person) -> None:
    shopper = await recorder.shopper(person)
    product = await a_product(recorder.resources.sessions, price="0.00", stock=9)
    prices = shipping_rates.Prices(currency="USD", bands=[Band(0, 0)], free_from=None)
    async with recorder.resources.sessions.begin() as session:
        code = f"free-{uuid4().hex[:8]}"
        offer = shipping_rates.Offer(
            zone="everywhere", estimated_days_min=1, estimated_days=2, priced_by=PricedBy.GOODS, prices=[prices]
        )
        await shipping_rates.put_method(session, code, {"name": "Free"}, [offer], expected=None)
    for card, name in (("pm_card_visa", "for_nothing"), ({"provider": "manual"}, "for_nothing_by_transfer")):
        cart = await shopper.a_cart((product.variant_id, 2), shipping=code)
        order = (await shopper.check_out(cart, card=card)).json()
        assert order["status"] == "confirmed", order
        parcel = await recorder.pack(order)
        assert (await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)).status_code == 200
        assert (await recorder.desk(f"/fulfillments/{parcel}/deliver")).status_code == 200
        await recorder.both_chapters(order["id"], f"Checkout-{name}", f"Fulfillment-{name}")
    cart = await shopper.a_cart((product.variant_id, 1), shipping=code)
    order = (await shopper.check_out(cart)).json()
    told = await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
    assert told.status_code == 200, told.text
    await recorder.both_chapters(order["id"], "Checkout-for_nothing", "Fulfillment-for_nothing_cancelled")
    async with recorder.resources.sessions.begin() as session:
        await shipping_rates.remove_method(session, code, expected=None)


async def test_orders_that_somebody_is_called_for(recorder: Recorder, person: Person) -> None:
    """Their Fulfillments are begun in the middle, because no recording waits for a day."""
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    almost_late = datetime.now(UTC) - PATIENCE[Waiting.TO_BE_PACKED] + timedelta(seconds=1)
    late = await recorder.begun_in_the_middle(order, confirmed_at=almost_late)
    await eventually(lambda: recorder.is_called_for(order))
    parcel = uuid4()
    of_order: dict[str, Any] = {"order_id": UUID(order["id"]), "fulfillment_id": parcel, "actor": "operator:recorded"}
    await late.execute_update("plan_shipment", PlanShipment(**of_order))
    await late.execute_update("ship", ShipParcel(**of_order, **LABEL))
    so_far = FulfillmentSoFar(
        status=OrderStatus.SHIPPED,
        waiting_units=0,
        has_shipped=True,
        waits=[
            Wait(
                what=Waiting.TO_BE_DELIVERED,
                since=datetime.now(UTC) - PATIENCE[Waiting.TO_BE_DELIVERED] - timedelta(hours=1),
                units=1,
                fulfillment_id=parcel,
            )
        ],
        concerns={Concern.LATE_PARCEL: "a parcel has been on its way for too long"},
    )
    long = await recorder.begun_in_the_middle(order, so_far=so_far)
    for fulfillment, name in ((long, "Fulfillment-in_its_second_run"), (late, "Fulfillment-late")):
        await fulfillment.execute_update("deliver", MoveParcel(**of_order))
        await recorder.one_chapter(fulfillment.id, name)


async def test_an_order_cancelled_before_it_left(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    await recorder.pack(order)
    await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-cancelled")


async def test_orders_that_were_sent_elsewhere(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    address = {**ADDRESS, "name": f"{PLANTED} Person", "line1": f"2 {PLANTED} Lane"}
    moved = await shopper.send("PUT", f"/v1/orders/{order['id']}/shipping-address", json=address)
    assert moved.status_code == 200, moved.text
    parcel = await recorder.pack(order)
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    await recorder.desk(f"/fulfillments/{parcel}/deliver")
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-sent_elsewhere")


async def test_orders_of_which_units_were_cancelled(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()

    async def cancel_units(order: dict[str, Any], units: int) -> None:
        wanted = {"order_item_id": order["items"][0]["id"], "quantity": units}
        wish = {"reason": f"{PLANTED} words", "items": [wanted]}
        told = await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json=wish)
        assert told.status_code == 200, told.text

    order = await recorder.check_out(shopper, product, 4)
    parcel = await recorder.pack(order, (order["items"][0]["id"], 2))
    await cancel_units(order, 1)
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    await cancel_units(order, 1)
    await recorder.desk(f"/fulfillments/{parcel}/deliver")
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-units_cancelled")

    order = await recorder.check_out(shopper, product, 2)
    await cancel_units(order, 2)
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-all_units_cancelled")


async def test_orders_whose_parcels_did_not_arrive(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    lost = await recorder.pack(order)
    await recorder.desk(f"/fulfillments/{lost}/ship", LABEL)
    told = await recorder.desk(f"/fulfillments/{lost}/lost", {"remedy": "reship"})
    assert told.status_code == 200, told.text
    [replacement] = [
        parcel["id"] for parcel in (await shopper.order(order["id"]))["fulfillments"] if parcel["replaces_id"] == lost
    ]
    for move, body in (("ship", LABEL), ("returned-to-sender", {"remedy": "refund"})):
        told = await recorder.desk(f"/fulfillments/{replacement}/{move}", body)
        assert told.status_code == 200, told.text
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-undeliverable")


async def test_an_order_whose_capture_was_refused(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    parcel = await recorder.pack(order)
    await recorder.sandbox.post(
        f"/v1/payment_intents/{order['payment']['provider_reference']}/cancel",
        headers={"Authorization": "Bearer sk_test_sutler"},
    )
    refused = await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    assert refused.json()["code"] == "capture_refused"
    await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "cannot pay"})
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-capture_refused")


async def test_an_order_whose_authorisation_lapsed(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    parcel = await recorder.pack(order)
    await recorder.sandbox.post(
        f"/v1/payment_intents/{order['payment']['provider_reference']}/cancel",
        headers={"Authorization": "Bearer sk_test_sutler"},
    )
    refused = await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    assert refused.json()["code"] == "capture_refused"
    wish = {"decision": "retry", "note": f"{PLANTED} words"}
    shipped = await recorder.desk(f"/orders/{order['id']}/resolve", wish)
    assert shipped.status_code == 200, shipped.text
    assert (await recorder.desk(f"/fulfillments/{parcel}/deliver")).status_code == 200
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-authorised_anew")


async def test_an_order_after_its_delivery(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    parcel = await recorder.pack(order)
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    assert (await recorder.desk(f"/fulfillments/{parcel}/deliver")).status_code == 200
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-seen_after")
    await eventually(lambda: recorder.waits_with(aftercare_id(UUID(order["id"]))))
    await recorder.so_far(aftercare_id(UUID(order["id"])), "Aftercare-waiting")

    async with recorder.resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE fulfillments SET delivered_at = delivered_at - interval '31 days' WHERE order_id = :id"),
            {"id": UUID(order["id"])},
        )
    late = OrderAftercare(order_id=UUID(order["id"]), order_number=order["number"])
    story = f"recorded:{uuid4()}"
    await recorder.resources.temporal.execute_workflow(Aftercare.run, late, id=story, task_queue=Queue.FULFILLMENT)
    await recorder.one_chapter(story, "Aftercare-closed")


async def test_refunds(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    shipped = await recorder.desk(f"/fulfillments/{await recorder.pack(order)}/ship", LABEL)
    assert shipped.status_code == 200, shipped.text
    wish = {"amount": {"amount": "1.00", "currency": "USD"}, "reason": f"{PLANTED} words"}
    paid = (await recorder.desk(f"/orders/{order['id']}/refunds", wish)).json()
    await recorder.one_chapter(refund_id(UUID(paid["id"])), "Refund-succeeded")

    await recorder.sandbox.post(
        "/v1/refunds",
        data={"payment_intent": order["payment"]["provider_reference"]},
        headers={"Authorization": "Bearer sk_test_sutler"},
    )
    refused = (await recorder.desk(f"/orders/{order['id']}/refunds", wish)).json()
    await recorder.one_chapter(refund_id(UUID(refused["id"])), "Refund-refused")


async def test_returns(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 2)
    parcel = await recorder.pack(order)
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    assert (await recorder.desk(f"/fulfillments/{parcel}/deliver")).status_code == 200
    for moves, name in ((("approve", "receive"), "Return-refunded"), (("reject",), "Return-rejected")):
        wish = [{"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": f"{PLANTED} words"}]
        made = await shopper.send("POST", f"/v1/orders/{order['id']}/returns", json={"items": wish})
        assert made.status_code == 201, made.text
        for move in moves:
            moved_on = await recorder.desk(f"/returns/{made.json()['id']}/{move}")
            assert moved_on.status_code == 200, moved_on.text
        await recorder.one_chapter(return_id(UUID(made.json()["id"])), name)

    made = await shopper.send("POST", f"/v1/orders/{order['id']}/returns", json={"items": wish})
    assert (await recorder.desk(f"/returns/{made.json()['id']}/approve")).status_code == 200
    refusal = {"operation": "refund", "fault": "refusal"}
    await recorder.sandbox.put("/faults", json={"payments": {"next": [refusal]}})
    for status in (409, 200):
        received = await recorder.desk(f"/returns/{made.json()['id']}/receive")
        assert received.status_code == status, received.text
    await recorder.one_chapter(return_id(UUID(made.json()["id"])), "Return-refused_then_refunded")


async def test_an_order_whose_workflow_was_ended(recorder: Recorder, person: Person) -> None:
    shopper, product, engine = await recorder.shopper(person), await recorder.product(), recorder.resources.temporal
    order = await recorder.check_out(shopper, product, 2)
    parcel = await recorder.pack(order, (order["items"][0]["id"], 1))
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    await engine.get_workflow_handle(order_id(UUID(order["id"]))).terminate()
    at_once = LookAtBooks(patience_seconds=0, pause_seconds=0.1)
    for story in (Audit, Reconciliation):
        await engine.execute_workflow(story.__name__, at_once, id=story.__name__, task_queue=Queue.OPERATIONS)
        await recorder.one_chapter(story.__name__, f"{story.__name__}-something_wrong")

    resumed = await recorder.desk(f"/orders/{order['id']}/resume")
    assert resumed.status_code == 200, resumed.text
    await recorder.one_chapter(repair_id(Law.ORDERS_HAVE_A_STORY, order["id"]), "Repair-resume_order")
    last = await recorder.pack(order)
    for move, body in (("ship", LABEL), ("deliver", None)):
        for each in (last,) if move == "ship" else (parcel, last):
            assert (await recorder.desk(f"/fulfillments/{each}/{move}", body)).status_code == 200
    await recorder.one_chapter(order_id(UUID(order["id"])), "Fulfillment-resumed")

    order = await recorder.check_out(shopper, product, 1, card=BANK_WANTS_TO_SEE_THE_PAYER)
    await engine.get_workflow_handle(order_id(UUID(order["id"]))).terminate()
    await recorder.sandbox.post(f"{order['payment']['next_action']['redirect_url']}/complete")
    await recorder.desk(f"/orders/{order['id']}/resume")
    await eventually(lambda: is_confirmed(shopper, order))
    await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
    await recorder.both_chapters(order["id"], "Checkout-resumed", "Fulfillment-cancelled")


async def test_what_else_lost_its_workflow(recorder: Recorder, person: Person) -> None:
    shopper, product, engine = await recorder.shopper(person), await recorder.product(), recorder.resources.temporal
    order = await recorder.check_out(shopper, product, 1)
    parcel = await recorder.pack(order)
    for move, body in (("ship", LABEL), ("deliver", None)):
        assert (await recorder.desk(f"/fulfillments/{parcel}/{move}", body)).status_code == 200
    story = engine.get_workflow_handle(aftercare_id(UUID(order["id"])))
    await eventually(lambda: recorder.waits_with(story.id))
    await story.terminate()
    name = f"{PLANTED}.{uuid4().hex[:12]}"
    async with recorder.resources.sessions.begin() as session:
        account = User(username=name, email=f"{name}@example.com", password_hash=f"{PLANTED}-hash")
        leaving = User(username=f"{name}.2", email=f"{name}.2@example.com", password_hash=f"{PLANTED}-hash")
        session.add_all([account, leaving])
        await session.flush()
        goodbye, _ = await erasures.ask(session, user_id=leaving.id, order_id=None, asked_by="operator:1")
        await exports.ask_for(session, written := new_id(), FileFormat.JSONL, "USD", actor="operator:1")
    read = await a_waiting_import(recorder.resources.sessions, csv_of(a_mark(), 3).encode())

    for law, subject, heals in (
        (Law.DELIVERED_ORDERS_ARE_CLOSED, UUID(order["id"]), Repair.BEGIN_AFTERCARE),
        (Law.ACCOUNTS_HAVE_A_STORY, account.id, Repair.RESUME_REGISTRATION),
        (Law.ERASURES_HAVE_A_STORY, goodbye.id, Repair.RESUME_ERASURE),
        (Law.IMPORTS_HAVE_A_STORY, read, Repair.RESUME_IMPORT),
        (Law.EXPORTS_HAVE_A_STORY, written, Repair.BEGIN_EXPORT),
    ):
        breach = Breach(law=law, subject=str(subject), words="its workflow is gone", repair=heals)
        request = RepairBreach(breach=breach, actor="operator:terminal", note_id=new_id())
        workflow_id = repair_id(law, breach.subject)
        outcome = await engine.execute_workflow(RepairStory.run, request, id=workflow_id, task_queue=Queue.OPERATIONS)
        assert outcome.is_healed
        await recorder.one_chapter(workflow_id, f"Repair-{heals}")


async def test_checkouts_that_come_to_nothing(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product(stock=1)
    declined = await recorder.check_out(shopper, product, 1, card="pm_card_chargeDeclined")
    assert declined["code"] == "payment_declined"
    order = await recorder.newest_order_of(shopper)
    await recorder.one_chapter(order_id(UUID(order["id"])), "Checkout-declined")

    sold_out = await recorder.check_out(shopper, product, 2)
    assert sold_out["code"] == "out_of_stock"
    async with recorder.resources.sessions() as session:
        newest = await session.scalar(text("SELECT order_id FROM checkouts ORDER BY order_number DESC LIMIT 1"))
    await recorder.one_chapter(order_id(newest), "Checkout-out_of_stock")


async def test_a_lost_answer_of_the_provider(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    faults = {"payments": {"next": [{"operation": "create", "fault": "drop_response"}]}}
    await recorder.sandbox.put("/faults", json=faults)
    order = await recorder.check_out(shopper, product, 1)
    assert await moved(recorder.sandbox, order) == [("authorize", 1499)]
    await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
    await recorder.both_chapters(order["id"], "Checkout-answer_lost", "Fulfillment-cancelled")


async def test_a_provider_that_is_silent_for_longer_than_anybody_waits(recorder: Recorder, person: Person) -> None:
    """Takes its two minutes: the budget of a call to the provider is the engine's, which keeps real time."""
    shopper, product = await recorder.shopper(person), await recorder.product()
    await recorder.sandbox.put("/faults", json={"payments": {"error_rate": 1.0}})
    order = await recorder.check_out(shopper, product, 1)
    assert order["status"] == "pending"

    async def is_asked_about() -> bool:
        return bool((await shopper.order(order["id"]))["pending_step"] == "payment_unknown")

    await eventually(is_asked_about, within=180)
    await recorder.sandbox.delete("/faults")
    await eventually(lambda: is_confirmed(shopper, order))
    await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
    await recorder.both_chapters(order["id"], "Checkout-payment_unknown", "Fulfillment-cancelled")


async def test_money_that_came_for_a_cancelled_order(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
    async with recorder.resources.sessions() as session:
        payment_id = await session.scalar(text("SELECT id FROM payments WHERE order_id = :id"), {"id": order["id"]})
    reference = await late_money(recorder.sandbox, payment_id)

    async def is_returned() -> bool:
        return await moved_by(recorder.sandbox, reference) == [("authorize", 1499), ("void", 1499)]

    await eventually(is_returned)
    await recorder.one_chapter(stray_id(reference), "StrayPayment-voided")


async def test_a_payer_who_approves_at_the_bank(recorder: Recorder, person: Person) -> None:
    shopper, order, payment = await at_the_bank(recorder, person)
    await recorder.sandbox.post(f"{order['payment']['next_action']['redirect_url']}/complete")
    await recorder.one_chapter(payment, "Payment-approved")
    await eventually(lambda: is_confirmed(shopper, order))
    await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
    await recorder.both_chapters(order["id"], "Checkout-approved_at_the_bank", "Fulfillment-cancelled")


async def test_a_payer_whom_the_bank_does_not_know(recorder: Recorder, person: Person) -> None:
    _, order, payment = await at_the_bank(recorder, person)
    await recorder.sandbox.post(f"{order['payment']['next_action']['redirect_url']}/fail")
    await recorder.one_chapter(payment, "Payment-declined")
    await recorder.one_chapter(order_id(UUID(order["id"])), "Checkout-declined_at_the_bank")


async def test_a_payer_who_gives_up_at_the_bank(recorder: Recorder, person: Person) -> None:
    shopper, order, payment = await at_the_bank(recorder, person)
    await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
    await recorder.one_chapter(payment, "Payment-given_up")
    await recorder.one_chapter(order_id(UUID(order["id"])), "Checkout-cancelled_at_the_bank")


async def test_a_checkout_that_is_cancelled_at_the_engine(recorder: Recorder, person: Person) -> None:
    _, order, _ = await at_the_bank(recorder, person)
    checkout = order_id(UUID(order["id"]))
    await recorder.resources.temporal.get_workflow_handle(checkout).cancel()
    await recorder.one_chapter(checkout, "Checkout-cancelled_at_the_engine")


async def test_parcels_of_which_a_carrier_is_asked_to_tell(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1)
    parcel = await recorder.pack(order)
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    await recorder.one_chapter(tracking_id(UUID(parcel)), "Tracking-followed")
    await recorder.desk(f"/fulfillments/{parcel}/deliver")
    await recorder.both_chapters(order["id"], "Checkout-confirmed", "Fulfillment-followed")

    order = await recorder.check_out(shopper, product, 1)
    parcel = await recorder.pack(order)
    refuses = {"payments": {"next": [{"operation": "track", "fault": "refusal"}]}}
    assert (await recorder.sandbox.put("/faults", json=refuses)).status_code == 200
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    await recorder.one_chapter(tracking_id(UUID(parcel)), "Tracking-refused")


async def test_orders_that_are_paid_by_bank_transfer(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()

    async def waiting(**how: Any) -> dict[str, Any]:
        return await recorder.check_out(shopper, product, 2, card={"provider": "manual"}, **how)

    async def comes(order: dict[str, Any]) -> None:
        told = await recorder.desk(f"/orders/{order['id']}/payment-received", {"reference": f"{PLANTED} words"})
        assert told.status_code == 200, told.text

    async def goes_back(order: dict[str, Any], name: str) -> None:
        for refund in (await shopper.order(order["id"]))["refunds"]:
            told = await recorder.desk(f"/refunds/{refund['id']}/paid", {"reference": f"{PLANTED} words"})
            assert told.status_code == 200, told.text
            await recorder.one_chapter(refund_id(UUID(refund["id"])), name)

    order = await waiting()
    await comes(order)
    wanted = [{"order_item_id": order["items"][0]["id"], "quantity": 1}]
    for wish in ({"reason": "one less", "items": wanted}, {"reason": "changed my mind"}):
        told = await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json=wish)
        assert told.status_code == 200, told.text
    await recorder.both_chapters(order["id"], "Checkout-transfer_kept_first", "Fulfillment-cancelled_paid_ahead")
    await goes_back(order, "Refund-sent_by_hand")

    order = await waiting()
    await comes(order)
    parcel = await recorder.pack(order)
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    await recorder.desk(f"/fulfillments/{parcel}/deliver")
    goods = [{"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": f"{PLANTED} words"}]
    made = (await shopper.send("POST", f"/v1/orders/{order['id']}/returns", json={"items": goods})).json()
    for move in ("approve", "receive"):
        assert (await recorder.desk(f"/returns/{made['id']}/{move}")).status_code == 200
    await goes_back(order, "Refund-word_kept_first")
    await recorder.one_chapter(return_id(UUID(made["id"])), "Return-refunded_by_hand")

    order = await waiting()
    waiver = {"decision": "skip", "note": f"{PLANTED} words"}
    assert (await recorder.desk(f"/orders/{order['id']}/resolve", waiver)).status_code == 200
    parcel = await recorder.pack(order)
    await recorder.desk(f"/fulfillments/{parcel}/ship", LABEL)
    await recorder.desk(f"/fulfillments/{parcel}/deliver")
    await comes(order)
    await recorder.both_chapters(order["id"], "Checkout-let_go_kept_first", "Fulfillment-paid_late")

    order = await waiting()
    await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})
    await recorder.one_chapter(order_id(UUID(order["id"])), "Checkout-cancelled_instead_of_paid")


async def test_a_bank_transfer_that_never_came(recorder: Recorder) -> None:
    product = await recorder.product()
    placed = await to_place(
        recorder.resources.sessions, await a_cart(recorder.resources.sessions, (product.variant_id, 1))
    )
    request = StartCheckout(
        order_id=placed.order_id,
        order_number=placed.order_number,
        cart_id=placed.cart_id,
        payment_id=placed.payment_id,
        payment_method="manual",
        customer="guest",
        transfer_window=timedelta(seconds=2),
    )
    await recorder.resources.temporal.start_workflow(
        Checkout.run, request, id=order_id(request.order_id), task_queue=Queue.CHECKOUT
    )
    await recorder.one_chapter(order_id(request.order_id), "Checkout-transfer_expired")


async def test_imports_and_exports_of_the_catalogue(recorder: Recorder) -> None:
    desk, engine = Importer(recorder.http, recorder.operator), recorder.resources.temporal
    rows = csv_of(a_mark(), 1100, price="free")
    done = await desk.imported(rows)
    await recorder.one_chapter(catalog_import_id(UUID(done["id"]), 1), "CatalogImport-completed")
    await desk.ask(done["id"], "retry")
    await recorder.one_chapter(catalog_import_id(UUID(done["id"]), 2), "CatalogImport-tried_again")

    for is_cancelled, name in ((False, "in_its_second_run"), (True, "cancelled")):
        made = await a_waiting_import(recorder.resources.sessions, rows.encode())
        if is_cancelled:
            async with recorder.resources.sessions.begin() as session:
                await imports.cancel(session, made)
        request = ImportCatalog(import_id=made, chunks_of_a_run=2, turn_seconds=0)
        story = await engine.start_workflow(
            CatalogImport.run, request, id=catalog_import_id(made, 1), task_queue=Queue.CATALOG
        )
        assert await story.result() is (ImportStatus.CANCELLED if is_cancelled else ImportStatus.COMPLETED)
        await recorder.one_chapter(story.id, f"CatalogImport-{name}")

    asked = await recorder.desk("/catalog/exports", {})
    await recorder.one_chapter(catalog_export_id(UUID(asked.json()["id"])), "CatalogExport-written")

    made = await a_waiting_export(recorder.resources.sessions)
    async with recorder.resources.sessions.begin() as session:
        await exports.cancel(session, made)
    written = await engine.execute_workflow(
        CatalogExport.run, WriteExport(export_id=made), id=catalog_export_id(made), task_queue=Queue.CATALOG
    )
    assert written.status is ExportStatus.CANCELLED
    await recorder.one_chapter(catalog_export_id(made), "CatalogExport-cancelled")

    await engine.execute_workflow(
        CatalogTidying.run, TidyUp(older_than_seconds=3600), id=CATALOG_TIDYING_ID, task_queue=Queue.CATALOG
    )
    await recorder.one_chapter(CATALOG_TIDYING_ID, "CatalogTidying-done")


async def test_carts_that_nobody_comes_back_to(recorder: Recorder) -> None:
    await recorder.resources.temporal.execute_workflow(
        CartTidying.run,
        recorder.resources.settings.carts.tidying,
        id=CART_TIDYING_ID,
        task_queue=Queue.OPERATIONS,
    )
    await recorder.one_chapter(CART_TIDYING_ID, "CartTidying-done")


async def test_carts_that_were_left(recorder: Recorder, person: Person) -> None:
    shopper, product = await recorder.shopper(person), await recorder.product()
    left = UUID(await shopper.a_cart((product.variant_id, 1)))
    agreed = await shopper.send("PUT", f"/v1/carts/{left}/reminders", json={"consent": True})
    assert agreed.status_code == 200, agreed.text
    await eventually(lambda: recorder.waits_with(reminder_id(left)))
    await recorder.so_far(reminder_id(left), "Reminder-waiting")

    nobodys = uuid4()
    await Stories(recorder.resources.temporal, recorder.resources.sessions, wait_seconds=5).begin_reminder(nobodys)
    await recorder.one_chapter(reminder_id(nobodys), "Reminder-over")


async def at_the_bank(recorder: Recorder, person: Person) -> tuple[Shopper, dict[str, Any], str]:
    shopper, product = await recorder.shopper(person), await recorder.product()
    order = await recorder.check_out(shopper, product, 1, card=BANK_WANTS_TO_SEE_THE_PAYER)
    return shopper, order, await payment_of(recorder, order)


async def is_confirmed(shopper: Shopper, order: dict[str, Any]) -> bool:
    return bool((await shopper.order(order["id"]))["status"] == "confirmed")


async def payment_of(recorder: Recorder, order: dict[str, Any]) -> str:
    """The id of the workflow that follows the order's payment."""
    handle = recorder.resources.temporal.get_workflow_handle(order_id(UUID(order["id"])))
    for event in (await handle.fetch_history()).events:
        if event.HasField("start_child_workflow_execution_initiated_event_attributes"):
            return event.start_child_workflow_execution_initiated_event_attributes.workflow_id
    raise AssertionError("nobody follows this payment")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", "-o", "python_files=record.py"]))
