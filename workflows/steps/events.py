"""What a story may ask of the outbox."""

from domain.events import CarryEvents, EventsCarried
from workflows.steps.patience import A_SHIFT
from workflows.steps.step import Step

carry = Step("events.carry", CarryEvents, EventsCarried, A_SHIFT)
"""Events are published and carried to the stream as they happen, for as long as the shift lasts."""
