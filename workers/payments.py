"""The payments queue: everything that is asked of the payment provider, where its limits can be kept."""

from activities.payments import PaymentActivities
from runtime.resources import Resources
from workers.duty import Duty
from workflows.payment import Payment


def build(resources: Resources) -> Duty:
    payments = PaymentActivities(resources.payments, resources.sessions)
    return Duty(
        workflows=[Payment],
        activities=[payments.authorize, payments.look_up, payments.capture, payments.give_back],
    )
