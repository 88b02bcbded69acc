"""All state machines of the shop, and how they are drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain import disputes, exports, imports, orders, payments, refunds, returns, shipping


@dataclass(frozen=True)
class Machine:
    name: str
    column: str
    moves: Mapping[StrEnum, frozenset[StrEnum]]
    deadlines: Mapping[str, str]
    """Who or what makes sure that a state which can be left is left, by state."""

    @property
    def first(self) -> StrEnum:
        return next(iter(self.moves))


MACHINES = [
    Machine(
        "Order",
        "orders.status",
        orders.ALLOWED_MOVES,  # type: ignore[arg-type]
        {
            "pending": "its Checkout: 2 minutes for the provider's answer, then it is asked until it says what became "
            "of the payment, and a person is called after 15 minutes; 30 minutes for the customer at the bank, 7 days "
            "for a bank transfer; without an engine the goods are given back after 35 minutes",
            "confirmed": "its Fulfillment: units that are not packed after 24 hours call a person, and each parcel has "
            "its own deadlines",
            "shipped": "its Fulfillment, by the deadlines of its parcels",
        },
    ),
    Machine(
        "Payment",
        "payments.status",
        payments.ALLOWED_MOVES,  # type: ignore[arg-type]
        {
            "pending": "the provider is asked until it says; after 15 minutes a person can decide, too; a transfer "
            "that has not come in 7 days undoes the order, or calls a person if its goods may leave without it",
            "requires_action": "the customer has 30 minutes",
            "authorized": "parcels capture it, or a cancel voids it",
            "captured": "an end; refunds may follow",
            "partially_refunded": "an end; refunds may follow",
        },
    ),
    Machine(
        "Parcel",
        "fulfillments.status",
        shipping.ALLOWED_MOVES,  # type: ignore[arg-type]
        {
            "pending": "24 hours after it was packed a person is called",
            "shipped": "5 days after it left a person is called; operators note that it arrived, or that it will not",
        },
    ),
    Machine(
        "Parcels of an order",
        "orders.fulfillment_status",
        shipping.MOVES_OF_ORDERS,  # type: ignore[arg-type]
        {
            "unfulfilled": "as long as the order is confirmed: units that are not packed after 24 hours call a person",
            "partially_shipped": "the deadlines of its parcels, and of what is not packed",
            "shipped": "the deadlines of its parcels",
            "partially_delivered": "the deadlines of its parcels",
        },
    ),
    Machine(
        "Refund",
        "refunds.status",
        refunds.ALLOWED_MOVES,  # type: ignore[arg-type]
        {"requested": "the provider is asked until it answers; for a bank transfer a person is called"},
    ),
    Machine(
        "Dispute",
        "disputes.status",
        disputes.ALLOWED_MOVES,  # type: ignore[arg-type]
        {"open": "a person is called at once, and told until when evidence is due; the provider says who has won"},
    ),
    Machine(
        "Return",
        "returns.status",
        returns.ALLOWED_MOVES,  # type: ignore[arg-type]
        {
            "requested": "after 7 days without a decision a person is called",
            "approved": "after 30 days without the goods it is closed",
            "received": "the refund is paid, or a person is called, who has it asked for again or says "
            "that it is seen to",
        },
    ),
    Machine(
        "Import",
        "catalog_imports.status",
        imports.ALLOWED_MOVES,  # type: ignore[arg-type]
        {
            "receiving": "the request that sends the file; one that broke off is forgotten after a day",
            "waiting": "an API process begins its CatalogImport, again and again until the engine has taken it",
            "running": "its CatalogImport, chunk by chunk, by whichever worker lives; a person can cancel it",
            "completed": "an end; failed rows can be tried again for a week",
        },
    ),
    Machine(
        "Export",
        "catalog_exports.status",
        exports.ALLOWED_MOVES,  # type: ignore[arg-type]
        {
            "waiting": "an API process begins its CatalogExport, again and again until the engine has taken it",
            "running": "its CatalogExport, tried until the file is written; a person can cancel it",
        },
    ),
    Machine(
        "Returns of an order",
        "orders.return_status",
        returns.MOVES_OF_ORDERS,  # type: ignore[arg-type]
        {
            "none": "an end; customers may send back what was delivered, for as long as the shop's window lasts",
            "requested": "the deadlines of its returns",
            "in_progress": "the deadlines of its returns",
            "partially_returned": "an end; more may come back, or the rest is lost",
        },
    ),
]


def document() -> str:
    """``docs/states.md``."""
    return "\n".join([HEAD, *(drawn(machine) for machine in MACHINES)])


HEAD = """# States

Drawn from the tables in `domain/` by `python -m domain.states > docs/states.md`; a test holds this page to them.
A move of an order, a parcel or a return that is not drawn is refused with 409, and the answer says where it stands.
"""


def drawn(machine: Machine) -> str:
    lines = [f"## {machine.name}", "", f"Kept in `{machine.column}`.", "", "```mermaid", "stateDiagram-v2"]
    lines.append(f"    [*] --> {machine.first}")
    for state, moves in machine.moves.items():
        lines += [f"    {state} --> {move}" for move in sorted(moves)] or [f"    {state} --> [*]"]
    lines += ["```", "", "| state | who sees to it that it is left |", "| --- | --- |"]
    lines += [f"| `{state}` | {machine.deadlines[state]} |" for state, moves in machine.moves.items() if moves]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(document(), end="")
