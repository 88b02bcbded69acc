"""Histories of real orders, kept without anybody in them, so that tomorrow's stories can be held to them."""

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from domain.orders import number_of, sequence_of
from runtime.payload_codec import Encryption
from runtime.temporal import DATA_CONVERTER
from workers.run import workflow_runner
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
from workflows.payment import Payment
from workflows.refund import Refund
from workflows.registration import Registration
from workflows.relay import EventRelay
from workflows.reminder import Reminder
from workflows.stray_payment import StrayPayment
from workflows.tracking import Tracking

OF_ORDERS: list[type] = [Checkout, Payment, Fulfillment, Refund, Return, Aftercare, Tracking, StrayPayment]
STORIES: list[type] = [
    *(Registration, Confirmation, Erasure, *OF_ORDERS, Mailbox),
    *(Audit, Reconciliation, Repair),
    *(CatalogImport, CatalogExport, CatalogTidying),
    *(CartTidying, Reminder, EventRelay),
    *(Dispatch, Delivery, EndpointProbe),
]

OF_SOMEBODY = (
    "customer",
    "actor",
    "payment_method",
    "method",
    "reference",
    "redirect_url",
    "tracking_number",
    "note_id",
)
"""Names of what leads to a person, to a card or to a parcel on its way. Stories ask at most whether it is there."""

SCRUBBED = "scrubbed"


def replayer(*stories: type) -> Replayer:
    return Replayer(workflows=stories, data_converter=DATA_CONVERTER, workflow_runner=workflow_runner(sandboxed=True))


def scrubbed(history: WorkflowHistory) -> dict[str, Any]:
    """The history as plain JSON, without the names of our machines and without what belongs to somebody."""
    plain: dict[str, Any] = without_machines(history)
    for mapping in list(_mappings(plain)):
        fields = mapping.get("indexedFields", {})
        if "CustomerId" in fields:
            fields["CustomerId"]["data"] = _encoded(SCRUBBED)
        if isinstance(mapping.get("data"), str):
            mapping["data"] = _without_somebody(mapping["data"])
    return plain


def without_machines(history: WorkflowHistory) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(history.to_json())
    for mapping in _mappings(plain):
        if "identity" in mapping:
            mapping["identity"] = "recorded"
        mapping.pop("stackTrace", None)  # names folders of the machine, and replays do without
    return plain


def keep(plain: Mapping[str, Any], path: Path) -> bool:
    """Write the history down, unless one of this name is there: that one stands for orders that may still be open."""
    if path.exists():
        return False
    path.write_text(json.dumps(plain, indent=1, sort_keys=True) + "\n")
    return True


async def histories_of(client: Client, order: str) -> dict[str, dict[str, Any]]:
    """What the engine has of the order, by name: every run of it, its payment, refunds and returns.

    Each is scrubbed and then replayed; raises ``NondeterminismError`` when today's stories cannot go on with it, and
    ``ValueError`` for what is neither an order's number nor an id.
    """
    found: dict[str, dict[str, Any]] = {}
    counted: Counter[str] = Counter()
    async for run in client.list_workflows(_about(order)):
        history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        if isinstance(codec := client.data_converter.payload_codec, Encryption):
            for event in history.events:
                codec.decrypt_in_place(event)
        plain = scrubbed(history)
        await replayer(*STORIES).replay_workflow(WorkflowHistory.from_json(run.id, json.dumps(plain)))
        counted[run.workflow_type] += 1
        number = counted[run.workflow_type]
        case = order.lower().replace("-", "_") + (f"_{number}" if number > 1 else "")
        found[f"{run.workflow_type}-{case}"] = plain
    return found


def _about(order: str) -> str:
    try:
        return f"OrderId = '{UUID(order)}'"
    except ValueError:
        return f"OrderNumber = '{number_of(sequence_of(order.upper()))}'"


def _without_somebody(data: str) -> str:
    """A payload whose values of those names are replaced; what is no JSON is as it was."""
    try:
        value = json.loads(base64.b64decode(data))
    except ValueError:
        return data
    for mapping in _mappings(value):
        for name in OF_SOMEBODY:
            if isinstance(mapping.get(name), str):
                mapping[name] = NOBODY if name.endswith("_id") else SCRUBBED
    return _encoded(value)


NOBODY = "00000000-0000-0000-0000-000000000000"


def _encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _mappings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _mappings(value)
