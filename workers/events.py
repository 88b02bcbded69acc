"""The events queue: the rest of the company hears of what has happened."""

from datetime import timedelta

from activities.events import EventActivities
from runtime.event_stream import stream_of
from runtime.resources import Resources
from workers.duty import Duty
from workflows import names
from workflows.relay import EventRelay


def build(resources: Resources) -> Duty:
    events = events_of(resources)
    return Duty(workflows=[EventRelay], activities=[events.carry], always={names.EVENT_RELAY_ID: EventRelay})


def events_of(resources: Resources) -> EventActivities:
    settings = resources.settings
    return EventActivities(
        resources.sessions,
        lambda: stream_of(settings),
        destination=settings.events.destination,
        source=settings.event_source,
        kept=timedelta(days=settings.events.keep_days),
        news=(resources.engine.url, settings.database.shop_schema),
    )
