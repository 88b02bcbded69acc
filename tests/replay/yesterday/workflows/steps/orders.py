"""What a story may ask about orders."""

from tests.replay.yesterday.domain.orders import (
    AwaitCustomer,
    CancelOrder,
    ConfirmOrder,
    OrderAttention,
    OrderState,
    Placement,
    PlaceOrder,
)
from tests.replay.yesterday.domain.shipping import CancelUnits, UnitsCancelled
from tests.replay.yesterday.workflows.names import Queue
from tests.replay.yesterday.workflows.steps.patience import ONE_TRANSACTION, ONE_TRANSACTION_UNTIL_DONE, UNTIL_DONE
from tests.replay.yesterday.workflows.steps.step import Step

place = Step("orders.place", PlaceOrder, Placement, ONE_TRANSACTION)
"""Price the cart, reserve its stock and write the order: all in one transaction, or none of it."""

await_customer = Step("orders.await_customer", AwaitCustomer, OrderState, ONE_TRANSACTION)
"""Note that the payer must act."""

confirm = Step("orders.confirm", ConfirmOrder, OrderState, ONE_TRANSACTION_UNTIL_DONE)
"""The point of no return: the reserved goods are the customer's."""

cancel = Step("orders.cancel", CancelOrder, OrderState, UNTIL_DONE, queue=Queue.CHECKOUT)
"""Stock back, cart open again, order cancelled; content when there is no order or it is cancelled already."""

cancel_units = Step("orders.cancel_units", CancelUnits, UnitsCancelled, UNTIL_DONE, queue=Queue.CHECKOUT)
"""Units that have not left are not wanted any more: goods back, parcels that carry them unpacked."""

attend = Step("orders.attend", OrderAttention, OrderState, UNTIL_DONE, queue=Queue.CHECKOUT)
"""Put the order on the list of those that a person must look at, or take it off."""
