"""The registration queue: accounts on their way from a form to a verified person."""

from activities.customers import CustomerActivities
from runtime.resources import Resources
from workers.duty import Duty
from workers.notifications import account_notifications
from workflows.registration import Registration


def build(resources: Resources) -> Duty:
    resources.tokens  # noqa: B018 (a missing signing key is noticed now, not by the first mail)
    customers = CustomerActivities(resources.sessions)
    notifications = account_notifications(resources)
    return Duty(
        workflows=[Registration],
        activities=[
            customers.look_up,
            customers.activate,
            customers.expire,
            notifications.verification,
            notifications.reminder,
        ],
    )
