"""The fulfillment queue: confirmed orders find their way to the customer."""

from activities.carriers import CarrierActivities
from activities.returns import ReturnActivities
from activities.shipping import ShippingActivities
from runtime.resources import Resources
from workers.duty import Duty
from workflows.aftercare import Aftercare
from workflows.fulfillment import Fulfillment
from workflows.goods_return import Return
from workflows.tracking import Tracking


def build(resources: Resources) -> Duty:
    shipping = ShippingActivities(resources.sessions, resources.carrier)
    carriers = CarrierActivities(resources.carrier, resources.sessions)
    returns = ReturnActivities(resources.sessions)
    return Duty(
        workflows=[Fulfillment, Return, Aftercare, Tracking],
        activities=[
            shipping.plan,
            shipping.charge,
            shipping.ship,
            shipping.deliver,
            shipping.give_up,
            shipping.hold,
            shipping.release,
            shipping.cancel,
            carriers.follow,
            carriers.leave,
            returns.decide,
            returns.receive,
            returns.settle,
        ],
    )
