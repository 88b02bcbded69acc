"""A worker process whose stories are yesterday's."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps
from importlib import import_module
from typing import Any

from temporalio import activity

from runtime.resources import Resources
from runtime.settings import Settings
from runtime.temporal import DATA_CONVERTER
from tests.replay.yesterday.workflows.checkout import Checkout
from tests.replay.yesterday.workflows.fulfillment import Fulfillment
from tests.replay.yesterday.workflows.goods_return import Return
from tests.replay.yesterday.workflows.mailbox import Mailbox
from tests.replay.yesterday.workflows.payment import Payment
from tests.replay.yesterday.workflows.refund import Refund
from tests.replay.yesterday.workflows.registration import Registration
from workers.duty import Duty
from workers.main import run
from workers.run import DUTIES
from workflows.names import Queue

STORIES: dict[Queue, list[type]] = {
    Queue.REGISTRATION: [Registration],
    Queue.CHECKOUT: [Checkout],
    Queue.PAYMENTS: [Payment, Refund],
    Queue.FULFILLMENT: [Fulfillment, Return],
    Queue.NOTIFICATIONS: [Mailbox],
}


def telling(stories: list[type], build: Callable[[Resources], Duty]) -> Callable[[Resources], Duty]:
    def as_it_was(resources: Resources) -> Duty:
        duty = build(resources)
        return replace(duty, workflows=stories, activities=[in_old_words(step) for step in duty.activities])

    return as_it_was


def in_old_words(step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The step of today, which says nothing that the old build could not say."""

    @wraps(step, updated=())
    async def carried_out(*request: Any) -> Any:
        answer = await step(*request)
        words = DATA_CONVERTER.payload_converter
        return words.from_payloads(words.to_payloads([answer]), [old_type(type(answer))])[0]

    name = activity._Definition.must_from_callable(step).name
    return activity.defn(name=name)(carried_out)


def old_type(today: type) -> type:
    if not today.__module__.startswith("domain."):
        return today
    old: type = getattr(import_module(f"tests.replay.yesterday.{today.__module__}"), today.__name__, today)
    return old


if __name__ == "__main__":
    DUTIES.update({queue: telling(stories, DUTIES[queue]) for queue, stories in STORIES.items()})
    run(Settings(), list(STORIES))
