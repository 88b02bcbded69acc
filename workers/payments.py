"""The payments queue: everything that is asked of the payment provider, where its limits can be kept."""

from activities.payments import PaymentActivities
from activities.refunds import RefundActivities
from providers.payments import beside_transfers
from runtime.resources import Resources
from workers.duty import Duty
from workflows.payment import Payment
from workflows.refund import Refund
from workflows.stray_payment import StrayPayment


def build(resources: Resources) -> Duty:
    providers = beside_transfers(resources.payments)
    payments = PaymentActivities(providers, resources.sessions, cards=resources.payments.name)
    refunds = RefundActivities(providers, resources.sessions)
    return Duty(
        workflows=[Payment, Refund, StrayPayment],
        is_pinned=True,
        activities=[
            payments.authorize,
            payments.look_up,
            payments.find,
            payments.capture,
            payments.release,
            payments.inspect,
            payments.renew,
            payments.give_back,
            refunds.pay_back,
            refunds.call,
            refunds.settle,
        ],
    )
