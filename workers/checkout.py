"""The checkout queue: carts become orders."""

from activities.orders import OrderActivities
from activities.taxes import TaxActivities
from runtime.resources import Resources
from workers.duty import Duty
from workflows.checkout import Checkout


def build(resources: Resources) -> Duty:
    orders = OrderActivities(
        resources.sessions, provider=resources.payments.name, return_term=resources.settings.shop.return_term
    )
    taxes = TaxActivities(resources.taxes, resources.sessions)
    return Duty(
        workflows=[Checkout],
        is_pinned=True,
        activities=[
            orders.place,
            orders.await_customer,
            orders.await_provider,
            orders.await_transfer,
            orders.remind_of_transfer,
            orders.receive_transfer,
            orders.confirm,
            orders.cancel,
            orders.cancel_units,
            orders.change_address,
            orders.attend,
            orders.close,
            orders.note_late_money,
            taxes.ask,
        ],
    )
