"""The registration queue: accounts on their way from a form to a verified person and to nobody; mailed links."""

from activities.customers import CustomerActivities
from activities.erasures import ErasureActivities
from runtime.resources import Resources
from workers.duty import Duty
from workers.notifications import account_notifications, mailed_links
from workflows.confirmation import Confirmation
from workflows.erasure import Erasure
from workflows.registration import Registration


def build(resources: Resources) -> Duty:
    resources.tokens  # noqa: B018 (a missing signing key is noticed now, not by the first mail)
    customers = CustomerActivities(resources.sessions)
    erasures = ErasureActivities(resources.sessions)
    notifications, confirmations = account_notifications(resources), mailed_links(resources)
    return Duty(
        workflows=[Registration, Confirmation, Erasure],
        activities=[
            customers.look_up,
            customers.activate,
            customers.expire,
            erasures.look_up,
            erasures.erase,
            notifications.verification,
            notifications.reminder,
            confirmations.mail,
            confirmations.close,
        ],
    )
