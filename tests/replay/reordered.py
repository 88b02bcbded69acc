"""A Checkout as nobody may ever write it: the card is asked before the goods are reserved."""

from temporalio import workflow

from domain.money import Money
from domain.orders import CheckoutOutcome, CheckoutStatus, PlacedOrder, StartCheckout
from workflows.checkout import Checkout
from workflows.steps import orders, payments


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
