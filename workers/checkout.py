"""The checkout queue: carts become orders."""

from activities.orders import OrderActivities
from runtime.resources import Resources
from workers.duty import Duty
from workflows.checkout import Checkout


def build(resources: Resources) -> Duty:
    orders = OrderActivities(resources.sessions, provider=resources.payments.name)
    return Duty(
        workflows=[Checkout],
        activities=[
            orders.place,
            orders.await_customer,
            orders.await_provider,
            orders.confirm,
            orders.cancel,
            orders.cancel_units,
            orders.attend,
        ],
    )
