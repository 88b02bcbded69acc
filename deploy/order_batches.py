"""``sutler order cancel`` and its like: one thing done with several orders, or only told beforehand."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import typer
from rich.console import Console
from rich.table import Table

from deploy.orders import as_operator, found_order
from deploy.visitor import Json, UnwelcomeError, Visitor, as_json
from domain.attention import Decision
from domain.orders import OrderStatus, allowed_moves
from runtime.settings import Settings

FROM_A_PIPE = "-"


@dataclass(frozen=True)
class Errand:
    does: str
    """As in: what it does with 3 orders."""
    done: str
    path: str
    """With the order's id to be filled in."""
    why_not: Callable[[Json, Json], str | None]
    """What the shop would say against it, of the order and its explanation."""
    body: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    number: str
    is_fine: bool
    words: str


def cancel(reason: str) -> Errand:
    def why_not(order: Json, _: Json) -> str | None:
        if order["status"] == OrderStatus.CANCELLED:
            return None  # cancelling twice is cancelling once
        if OrderStatus.CANCELLED not in allowed_moves(OrderStatus(order["status"])):
            return f"it is {order['status']}"
        return "a parcel has left" if any(parcel["shipped_at"] for parcel in order["fulfillments"]) else None

    return Errand("Cancel", "cancelled", "/v1/orders/{}/cancel", why_not, {"reason": reason})


def resolve(decision: Decision, note: str) -> Errand:
    def why_not(_: Json, told: Json) -> str | None:
        if decision in told["decisions"]:
            return None
        return f"it can be decided: {', '.join(told['decisions'])}" if told["decisions"] else "it waits for nobody"

    wish = {"decision": str(decision), "note": note}
    return Errand("Resolve", f"resolved: {decision}", "/v1/admin/orders/{}/resolve", why_not, wish)


def hold(reason: str) -> Errand:
    def why_not(order: Json, _: Json) -> str | None:
        return None if order["status"] == OrderStatus.CONFIRMED else f"it is {order['status']}"

    return Errand("Hold", "held", "/v1/admin/orders/{}/hold", why_not, {"reason": reason})


def release() -> Errand:
    return Errand("Release", "released", "/v1/admin/orders/{}/release", lambda *_: None)


def resume() -> Errand:
    def why_not(order: Json, _: Json) -> str | None:
        is_over = order["status"] in (OrderStatus.DELIVERED, OrderStatus.CANCELLED)
        return f"it is {order['status']}" if is_over else None

    return Errand("Resume", "going on", "/v1/admin/orders/{}/resume", why_not)


def run(
    errand: Errand, numbers: Sequence[str], *, dry_run: bool, yes: bool, for_programs: bool, token: str | None
) -> int:
    """Do it with each order, or say what would become of that; the exit code is 1 when one of them refuses."""
    if FROM_A_PIPE in numbers:
        numbers = [*(number for number in numbers if number != FROM_A_PIPE), *sys.stdin.read().split()]
        yes = True  # nobody is there to be asked
    wanted = list(dict.fromkeys(numbers))

    async def act(operator: Visitor, _: Settings, console: Console) -> int:
        if not dry_run and not yes:
            typer.confirm(f"{errand.does} {len(wanted)} order{'s' if len(wanted) > 1 else ''}?", abort=True)
        outcomes = [
            await _foretold(operator, errand, it) if dry_run else await _done(operator, errand, it) for it in wanted
        ]
        told = [{"number": it.number, "is_fine": it.is_fine, "words": it.words} for it in outcomes]
        console.print(as_json(told) if for_programs else outcomes_table(outcomes), soft_wrap=for_programs)
        if dry_run and not for_programs:
            console.print("Nothing was done.")
        return 0 if all(it.is_fine for it in outcomes) else 1

    return as_operator(act, token)


async def _meant(operator: Visitor, number: str) -> Json:
    """The order with exactly this number or id: what is also a search must not end somebody's newest order."""
    order = await found_order(operator, number)
    is_it = order is not None and number.upper() in (order["number"], order["id"].upper())
    return order if is_it else None


async def _foretold(operator: Visitor, errand: Errand, number: str) -> Outcome:
    order = await _meant(operator, number)
    if order is None:
        return Outcome(number, is_fine=False, words="there is no such order")
    told = await operator.get(f"/v1/admin/orders/{order['id']}/explain")
    if why_not := errand.why_not(order, told):
        return Outcome(order["number"], is_fine=False, words=f"would be refused: {why_not}")
    return Outcome(order["number"], is_fine=True, words=f"would be {errand.done}; it is {order['status']}")


async def _done(operator: Visitor, errand: Errand, number: str) -> Outcome:
    order = await _meant(operator, number)
    if order is None:
        return Outcome(number, is_fine=False, words="there is no such order")
    try:
        await operator.done("POST", errand.path.format(order["id"]), dict(errand.body) or None)
    except UnwelcomeError as refusal:
        return Outcome(order["number"], is_fine=False, words=refusal.detail)
    return Outcome(order["number"], is_fine=True, words=errand.done)


def outcomes_table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(show_edge=False)
    for heading in ("order", "what became of it"):
        table.add_column(heading, overflow="fold")
    for outcome in outcomes:
        table.add_row(outcome.number, outcome.words, style="" if outcome.is_fine else "red")
    return table
