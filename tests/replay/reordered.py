"""Stories as nobody may ever write them: cards asked before goods are reserved, parcels sent before they are paid."""

from temporalio import workflow

from domain.money import Money
from domain.orders import CheckoutOutcome, CheckoutStatus, OrderStatus, PlacedOrder, StartCheckout
from domain.shipping import FulfillOrder, ShipmentState, ShipParcel
from workflows.checkout import Checkout
from workflows.fulfillment import Fulfillment
from workflows.steps import orders, payments, shipping


@workflow.defn(name="Checkout")
class CardBeforeGoods(Checkout):
    @workflow.init
    def __init__(self, request: StartCheckout) -> None:
        super().__init__(request)

    @workflow.run
    async def run(self, request: StartCheckout) -> CheckoutOutcome:
        unpriced = PlacedOrder(order_id=request.order_id, total=Money.zero("USD"), units=0)
        await payments.authorize(self._the_payment_to_authorize(unpriced))
        await orders.place(self._the_order_to_place())
        return CheckoutOutcome(status=CheckoutStatus.CONFIRMED)


@workflow.defn(name="Fulfillment")
class ParcelBeforeMoney(Fulfillment):
    @workflow.init
    def __init__(self, request: FulfillOrder) -> None:
        super().__init__(request)

    @workflow.run
    async def run(self, request: FulfillOrder) -> OrderStatus:
        return await super().run(request)

    async def _ship(self, request: ShipParcel) -> ShipmentState:
        state = await shipping.ship(request)
        await self._capture(request, await shipping.charge(request))
        return state
