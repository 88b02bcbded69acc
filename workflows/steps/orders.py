"""What a story may ask about orders."""

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
from domain.payments import AwaitTransfer, LateMoneyNoted, NoteLateMoney, RemindOfTransfer, TransferReceived
from domain.shipping import CancelUnits, UnitsCancelled
from workflows.names import Queue
from workflows.steps.patience import ONE_TRANSACTION, ONE_TRANSACTION_UNTIL_DONE, UNTIL_DONE
from workflows.steps.step import Step

place = Step("orders.place", PlaceOrder, Placement, ONE_TRANSACTION)
"""Price the cart, reserve its stock and write the order: all in one transaction, or none of it."""

await_customer = Step("orders.await_customer", AwaitCustomer, OrderState, ONE_TRANSACTION)
"""Note that the payer must act."""

await_provider = Step("orders.await_provider", AwaitProvider, OrderState, ONE_TRANSACTION_UNTIL_DONE)
"""Note that the provider has not said what became of the payment; each repetition keeps the goods a while longer."""

await_transfer = Step("orders.await_transfer", AwaitTransfer, OrderState, ONE_TRANSACTION)
"""Ask the customer for a bank transfer."""

remind_of_transfer = Step("orders.remind_of_transfer", RemindOfTransfer, OrderState, ONE_TRANSACTION_UNTIL_DONE)
"""Ask once more, while there is still time."""

receive_transfer = Step("orders.receive_transfer", TransferReceived, OrderState, UNTIL_DONE, queue=Queue.CHECKOUT)
"""The money of an order that was confirmed without it has come."""

confirm = Step("orders.confirm", ConfirmOrder, OrderState, ONE_TRANSACTION_UNTIL_DONE)
"""The point of no return: the reserved goods are the customer's."""

cancel = Step("orders.cancel", CancelOrder, OrderState, UNTIL_DONE, queue=Queue.CHECKOUT)
"""Stock back, cart open again, order cancelled; content when there is no order or it is cancelled already."""

cancel_units = Step("orders.cancel_units", CancelUnits, UnitsCancelled, UNTIL_DONE, queue=Queue.CHECKOUT)
"""Units that have not left are not wanted any more: goods back, parcels that carry them unpacked."""

change_address = Step("orders.change_address", ChangeAddress, OrderState, UNTIL_DONE, queue=Queue.CHECKOUT)
"""The order goes to the address that was written down before, as long as nothing of it has left."""

attend = Step("orders.attend", OrderAttention, OrderState, UNTIL_DONE, queue=Queue.CHECKOUT)
"""Put the order on the list of those that a person must look at, or take it off."""

close = Step("orders.close", CloseOrder, Closing, UNTIL_DONE, queue=Queue.CHECKOUT)
"""Close a delivered order of which nothing can come back any more, or say when to look again."""

note_late_money = Step("orders.note_late_money", NoteLateMoney, LateMoneyNoted, UNTIL_DONE, queue=Queue.CHECKOUT)
"""Money that came for nothing went back: say so on the order's timeline, to other systems, and to the customer."""
