"""The webhooks queue: events on their way to the endpoints of others."""

from activities.webhooks import WebhookActivities
from runtime.resources import Resources
from workers.duty import Duty
from workflows import names
from workflows.delivery import Delivery
from workflows.dispatch import Dispatch
from workflows.endpoint_probe import EndpointProbe


def build(resources: Resources) -> Duty:
    settings = resources.settings
    webhooks = WebhookActivities(
        resources.sessions,
        resources.temporal,
        resources.postman.send,
        source=settings.event_source,
        kept=settings.webhooks.kept,
    )
    return Duty(
        workflows=[Dispatch, Delivery, EndpointProbe],
        activities=[webhooks.hand_out, webhooks.deliver, webhooks.probe],
        at_once=settings.webhooks.at_once,
        always={names.WEBHOOK_DISPATCH_ID: Dispatch},
    )
