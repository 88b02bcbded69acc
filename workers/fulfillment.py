"""The fulfillment queue."""

from runtime.resources import Resources
from workers.duty import Duty


def build(resources: Resources) -> Duty:
    return Duty()
