"""What no single file can see: that the parts fit together by their names."""

import ast
import importlib
import pkgutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from temporalio.activity import _Definition as ActivityDefinition
from temporalio.workflow import _Definition as WorkflowDefinition

import workflows.steps
from activities.story_laws import KINDS, OF_ORDERS
from api.errors import PROBLEMS
from runtime.resources import Resources
from workers.run import DUTIES
from workflows.aftercare import Aftercare
from workflows.audit import Audit, Reconciliation, Repair
from workflows.cart_tidying import CartTidying
from workflows.catalog_export import CatalogExport
from workflows.catalog_import import CatalogImport, CatalogTidying
from workflows.checkout import Checkout
from workflows.confirmation import Confirmation
from workflows.delivery import Delivery
from workflows.dispatch import Dispatch
from workflows.endpoint_probe import EndpointProbe
from workflows.erasure import Erasure
from workflows.fulfillment import Fulfillment
from workflows.goods_return import Return
from workflows.mailbox import Mailbox
from workflows.names import Queue
from workflows.payment import Payment
from workflows.refund import Refund
from workflows.registration import Registration
from workflows.relay import EventRelay
from workflows.reminder import Reminder
from workflows.steps.step import Step
from workflows.stray_payment import StrayPayment
from workflows.tracking import Tracking

ROOT = Path(__file__).parents[1]

NOT_JUDGED = {
    "Confirmation": "ends by itself when its link does; whether a link works, its row says alone",
    "StrayPayment": "ends by itself; what it did not give back is found among the provider's payments",
    "Mailbox": "runs for ever; that it does is told by the letters that wait",
    "EventRelay": "runs for ever; that it does is told by the events that wait",
    "Dispatch": "runs for ever; that it does is told by the deliveries that wait",
    "Delivery": "what waits and has no story is handed out anew by whoever begins a shift",
    "EndpointProbe": "is begun for each paused endpoint by whoever begins a shift",
    "CatalogTidying": "ends by itself, and comes again each night",
    "Tracking": "ends by itself after a day at most; a parcel of which nobody tells is late like any other",
    "Reminder": "ends by itself; a mail that is not sent harms nobody",
    "CartTidying": "ends by itself, and comes again each hour",
    "Audit": "ends by itself, and comes again each hour",
    "Reconciliation": "ends by itself, and comes again each night",
    "Repair": "ends by itself; what it did not heal is found again",
}
"""Stories that are told for no row, and why no audit need look for them."""

ONLY_FOR_STORIES = {"amount_mismatch", "checkout_over"}
"""Refusals that a workflow hears and no client."""


def all_steps() -> dict[str, Step[Any, Any]]:
    steps: list[Step[Any, Any]] = []
    for module in pkgutil.iter_modules(workflows.steps.__path__):
        found = vars(importlib.import_module(f"workflows.steps.{module.name}")).values()
        steps += [value for value in found if isinstance(value, Step)]
    assert Counter(step.name for step in steps).most_common(1)[0][1] == 1
    return {step.name: step for step in steps}


STEPS = all_steps()


Performers = dict[str, dict[Queue, ActivityDefinition]]


@pytest.fixture(scope="module")
def performers(resources: Resources) -> Performers:
    """By the step's name: on which queues it is performed, and by what."""
    found: defaultdict[str, dict[Queue, ActivityDefinition]] = defaultdict(dict)
    for queue, build in DUTIES.items():
        for performer in build(resources).activities:
            definition = ActivityDefinition.must_from_callable(performer)
            assert definition.name is not None
            assert queue not in found[definition.name], f"{definition.name} is performed twice on {queue}"
            found[definition.name][queue] = definition
    return dict(found)


async def test_every_step_is_performed_and_everything_performed_is_a_step(performers: Performers) -> None:
    assert set(performers) == set(STEPS)


@pytest.mark.parametrize("name", sorted(STEPS))
async def test_a_step_is_performed_by_one_method_of_its_own_types(performers: Performers, name: str) -> None:
    step, performed = STEPS[name], performers[name]

    assert len({definition.fn.__qualname__ for definition in performed.values()}) == 1
    for definition in performed.values():
        assert definition.arg_types == [step.takes]
        assert definition.ret_type == step.gives


@pytest.mark.parametrize("name", sorted(STEPS))
async def test_a_step_is_performed_where_it_is_asked_for(performers: Performers, name: str) -> None:
    step, performed = STEPS[name], performers[name]
    if step.queue is not None:
        assert set(performed) == {step.queue}
        return
    asking = {queue for queue, told in STORIES.items() for story in told if name in steps_asked_by(story)}

    assert asking
    assert set(performed) >= asking


STORIES: dict[Queue, list[type]] = {
    Queue.REGISTRATION: [Registration, Confirmation, Erasure],
    Queue.CHECKOUT: [Checkout],
    Queue.PAYMENTS: [Payment, Refund, StrayPayment],
    Queue.FULFILLMENT: [Fulfillment, Return, Aftercare, Tracking],
    Queue.NOTIFICATIONS: [Mailbox, Reminder],
    Queue.OPERATIONS: [Audit, Reconciliation, Repair, CartTidying],
    Queue.EVENTS: [EventRelay],
    Queue.CATALOG: [CatalogImport, CatalogExport, CatalogTidying],
    Queue.WEBHOOKS: [Dispatch, Delivery, EndpointProbe],
}


@cache
def steps_asked_by(story: type) -> set[str]:
    """The steps that the story names, as ``module.step``, in its file or in those of its paragraphs."""
    named = {
        f"{node.value.id}.{node.attr}"
        for path in [file_of(story), *paragraphs_of(story)]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return named & set(STEPS)


def paragraphs_of(story: type) -> list[Path]:
    """Files of ``workflows`` that the story imports and that tell no story themselves."""
    imported = {
        ROOT / f"{node.module.replace('.', '/')}.py"
        for node in ast.walk(ast.parse(file_of(story).read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("workflows.")
    }
    stories = {file_of(story) for told in STORIES.values() for story in told}
    return sorted(path for path in imported - stories if path.exists())


def file_of(story: type) -> Path:
    return ROOT / f"{story.__module__.replace('.', '/')}.py"


async def test_every_story_is_told_on_one_queue(resources: Resources) -> None:
    told = {queue: build(resources).workflows for queue, build in DUTIES.items()}

    assert told == STORIES


async def test_the_audit_knows_every_story_that_workers_tell(resources: Resources) -> None:
    """A new one has rows of its own (``KINDS``), or a reason why not."""
    told = {story.__name__ for build in DUTIES.values() for story in build(resources).workflows}

    assert told == {*OF_ORDERS, *KINDS, *NOT_JUDGED}


def test_a_name_of_a_step_says_which_file_performs_it() -> None:
    for name in STEPS:
        noun, _, _ = name.partition(".")
        for folder in ("activities", "workflows/steps"):
            assert (ROOT / folder / f"{noun}.py").exists(), f"{name} has no {folder}/{noun}.py"


# --- what the API calls by its name ---------------------------------------------------------------------------------


def updates_of(story: type) -> set[str | None]:
    return set(WorkflowDefinition.must_from_class(story).updates)


def calls(folder: str, method: str) -> Iterator[ast.Call]:
    for path in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                yield node


def text_at(call: ast.Call, position: int) -> str | None:
    argument = call.args[position] if len(call.args) > position else None
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None


def test_every_update_that_the_api_asks_for_by_name_exists() -> None:
    asked = {text_at(call, 1) for call in calls("api", "ask")} | {text_at(call, 0) for call in calls("api", "_move")}
    names = {name for name in asked if name is not None}

    of_parcels = {"plan_shipment", "ship", "deliver", "cancel_shipment", "give_up_parcel"}
    assert names == {
        *of_parcels,
        "cancel",
        "resolve",
        "cancel_units",
        "change_address",
        "payment_received",
        "hold",
        "release",
    }
    assert names <= updates_of(Fulfillment)


def test_both_chapters_of_an_order_can_be_asked_to_place_to_cancel_and_to_note_a_payment() -> None:
    for story in (Checkout, Fulfillment):
        assert {"place", "cancel", "payment_received"} <= updates_of(story)


# --- refusals -------------------------------------------------------------------------------------------------------


def refusal_codes() -> Iterator[tuple[str, str]]:
    """Every code in the sources with the file that it is in."""
    for folder in ("domain", "db", "api", "activities", "workflows", "runtime"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield from ((code, str(path.relative_to(ROOT))) for code in codes_in(node))


def codes_in(call: ast.Call) -> Iterator[str]:
    called = call.func.id if isinstance(call.func, ast.Name) else ""
    if called == "Refusal" and (code := text_at(call, 0)):
        yield code
    wanted = {"Refused": "code", "ApplicationError": "type"}.get(called)
    for keyword in call.keywords:
        if keyword.arg == wanted and isinstance(keyword.value, ast.Constant):
            yield str(keyword.value.value)


def test_every_refusal_has_its_entry_in_the_apis_table() -> None:
    without = {(code, path) for code, path in refusal_codes() if code not in PROBLEMS and code not in ONLY_FOR_STORIES}

    assert {(code, path) for code, path in without if code != "DatabaseError"} == set()


def test_stories_read_neither_the_clock_nor_dice() -> None:
    forbidden = {("datetime", "now"), ("time", "time"), ("uuid", "uuid4"), ("asyncio", "sleep")}
    for story in (story for told in STORIES.values() for story in told):
        tree = ast.parse(file_of(story).read_text())
        used = {
            (node.value.id, node.attr)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        assert used & forbidden == set()
