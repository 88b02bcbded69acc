"""Where all units and all money of an order should be, added up from single rows, independently of the shop's code."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chaos.books import Books, Row

HAS_LEFT = ("shipped", "delivered")


@dataclass
class Units:
    """What became of the units of one order line."""

    line: Row
    packed: int = 0
    """In parcels that are still here, replacements apart."""
    left: int = 0
    """In parcels that have left, replacements apart: what the customer pays for."""
    on_the_way: int = 0
    arrived: int = 0
    written_off: int = 0
    """Did not arrive and will not be sent again."""
    came_back: int = 0
    """In parcels that were returned to sender."""
    packed_again: int = 0
    """In replacements that are still here."""
    left_again: int = 0
    """In replacements that have left."""
    kept_again: int = 0
    """In replacements that were taken back."""
    refunded: int = 0
    being_returned: int = 0
    """In returns that were not rejected."""
    restocked: int = 0

    @property
    def wanted(self) -> int:
        """What the customer is to have in the end."""
        return self.ordered - self.cancelled - self.written_off

    @property
    def ordered(self) -> int:
        return int(self.line["quantity"])

    @property
    def cancelled(self) -> int:
        return int(self.line["cancelled"])

    @property
    def cost(self) -> int:
        """What all units of the line cost their customer."""
        return int(self.line["unit_price"] * self.ordered - self.line["discount"] + self.line["tax"])

    def worth_of(self, units: int) -> int:
        """What so many of them are worth that did not leave, or were not given back: whole minor units of it."""
        return self.cost * units // self.ordered

    @property
    def waiting(self) -> int:
        """In no parcel yet."""
        return self.ordered - self.cancelled - self.packed - self.left


def way_of_paying(order: Row) -> str:
    if not order["credit"]:
        return "without credit"
    return "partly with credit" if order["credit"] < order["total"] else "wholly with credit"


@dataclass
class Account:
    """One order with all that hangs on it."""

    order: Row
    units: list[Units] = field(default_factory=list)
    parcels: list[Row] = field(default_factory=list)
    refunds: list[Row] = field(default_factory=list)
    refunds_of_units: set[str] = field(default_factory=set)
    """Refunds that pay for units, and not just an amount."""
    entries: list[Row] = field(default_factory=list)
    """All that moved gift cards and store credit for it."""
    refusals: int = 0
    """How often a line's units were to be refunded and were not: each may shift the rounding of the next one."""
    concerns: set[str] = field(default_factory=set)
    """All that ever needed a person."""
    open_concerns: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"order {self.order['id']} is {self.order['status']}/{self.order['payment_status']}"

    @property
    def is_paid_ahead(self) -> bool:
        """By bank transfer: parcels take nothing, and refunds wait for people."""
        return bool(self.order["provider"] == "manual")

    @property
    def due(self) -> int:
        """What credit has left to pay."""
        return int(self.order["total"] - self.order["credit"])

    @property
    def was_never_sent(self) -> bool:
        return not any(parcel["has_left"] for parcel in self.parcels)

    @property
    def is_all_sent(self) -> bool:
        """Nothing waits and nothing is packed: no parcel will take money any more."""
        return all(units.waiting + units.packed + units.packed_again == 0 for units in self.units)

    @property
    def owed(self) -> int:
        """What the customer has to pay for the parcels that have left."""
        if self.was_never_sent:
            return 0
        return int(self.order["total"]) - sum(units.worth_of(units.ordered - units.left) for units in self.units)

    @property
    def to_capture(self) -> int:
        """What of that the provider takes: credit pays for the first parcels."""
        return max(self.owed - int(self.order["credit"]), 0)

    @property
    def cancelled_worth(self) -> int:
        return sum(units.worth_of(units.cancelled) for units in self.units)

    @property
    def paid_back_for_units(self) -> tuple[int, int]:
        """What all refunds of units came to, and what the units are worth."""
        refunds = [refund for refund in self.refunds if refund["status"] != "failed"]
        paid = sum(refund["amount"] for refund in refunds if refund["id"] in self.refunds_of_units)
        return paid, sum(units.cost - units.worth_of(units.ordered - units.refunded) for units in self.units)

    def refunded(self, status: str) -> int:
        return sum(refund["amount"] for refund in self.refunds if refund["status"] == status)

    def paid_back(self, status: str, *, to: str = "origin") -> int:
        """What of these refunds the provider had taken."""
        return sum(
            refund["amount"] - refund["of_credit"]
            for refund in self.refunds
            if (refund["status"], refund["goes_to"]) == (status, to)
        )

    def moved(self, reason: str) -> int:
        """What these movements added to the balances of credit."""
        return sum(int(entry["amount"]) for entry in self.entries if entry["reason"] == reason)

    def credit_kept(self, *, but_promised: bool = False) -> int:
        """What the shop has of its credit, and has not promised to a refund that is on its way."""
        gone = ("succeeded", "requested") if but_promised else ("succeeded",)
        refunded = sum(refund["of_credit"] for refund in self.refunds if refund["status"] in gone)
        return int(self.order["credit"]) - self.moved("given_back") - int(refunded)

    @property
    def unfairly_credited(self) -> set[str]:
        """Balances that this order has raised by more than it ever took from them."""
        net: Counter[str] = Counter()
        for entry in self.entries:
            net[entry["account_id"]] += 0 if entry["reason"] == "converted" else entry["amount"]
        return {account for account, amount in net.items() if amount > 0}


def accounts(books: Books) -> Mapping[str, Account]:
    """Every order's account, by the order's id."""
    tables = books.tables
    found = {order["id"]: Account(order) for order in tables["orders"]}
    units = {line["id"]: Units(line) for line in tables["lines"]}
    for line in units.values():
        found[line.line["order_id"]].units.append(line)
    parcels = {parcel["id"]: parcel for parcel in tables["parcels"]}
    for parcel in parcels.values():
        found[parcel["order_id"]].parcels.append(parcel)
    for content in tables["contents"]:
        _pack(units[content["line_id"]], parcels[content["parcel_id"]], content["quantity"])
    _refund(found, units, tables["refunds"], tables["refund_items"])
    for entry in tables["credit_entries"]:
        if entry["order_id"] in found:
            found[entry["order_id"]].entries.append(entry)
    rejected = {row["id"] for row in tables["returns"] if row["status"] == "rejected"}
    for item in tables["return_items"]:
        line = units[item["line_id"]]
        line.being_returned += 0 if item["return_id"] in rejected else item["quantity"]
        line.restocked += item["restocked"]
    for concern in tables["concerns"]:
        account = found[concern["order_id"]]
        account.concerns.add(concern["concern"])
        if concern["is_open"]:
            account.open_concerns.add(concern["concern"])
    return found


def _pack(units: Units, parcel: Row, quantity: int) -> None:
    is_replacement = parcel["replaces_id"] is not None
    if parcel["has_left"]:
        units.left += 0 if is_replacement else quantity
        units.left_again += quantity if is_replacement else 0
        units.arrived += quantity if parcel["status"] == "delivered" else 0
        units.on_the_way += quantity if parcel["status"] == "shipped" else 0
        units.written_off += quantity if parcel["remedy"] == "refund" else 0
        units.came_back += quantity if parcel["undelivered"] == "returned_to_sender" else 0
    elif parcel["status"] == "pending":
        units.packed += 0 if is_replacement else quantity
        units.packed_again += quantity if is_replacement else 0
    elif is_replacement:
        units.kept_again += quantity


def _refund(
    found: Mapping[str, Account], units: Mapping[str, Units], refunds: Sequence[Row], items: Sequence[Row]
) -> None:
    by_id = {refund["id"]: refund for refund in refunds}
    for refund in refunds:
        found[refund["order_id"]].refunds.append(refund)
    for item in items:
        refund, line = by_id[item["refund_id"]], units[item["line_id"]]
        account, is_refused = found[refund["order_id"]], refund["status"] == "failed"
        account.refunds_of_units.add(refund["id"])
        account.refusals += is_refused
        line.refunded += 0 if is_refused else item["quantity"]
