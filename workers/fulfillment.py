"""The fulfillment queue: confirmed orders find their way to the customer."""

from activities.shipping import ShippingActivities
from runtime.resources import Resources
from workers.duty import Duty
from workflows.fulfillment import Fulfillment


def build(resources: Resources) -> Duty:
    shipping = ShippingActivities(resources.sessions)
    return Duty(
        workflows=[Fulfillment],
        activities=[
            shipping.plan,
            shipping.charge,
            shipping.ship,
            shipping.deliver,
            shipping.cancel,
        ],
    )
