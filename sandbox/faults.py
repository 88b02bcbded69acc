"""How the outside world misbehaves on request."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from random import SystemRandom
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from sandbox import clock
from sandbox.store import Store
from sandbox.wire import Call, ConnectionCut

Rate = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[int, Meta(ge=0, le=600_000)]
OperationName = Literal[
    "create", "confirm", "capture", "cancel", "refund", "update", "retrieve", "list", "search", "tax", "track"
]

HANG_CHECK_SECONDS = 0.05

dice = SystemRandom()


class NextFault(Struct, forbid_unknown_fields=True):
    """One fault for the next request of its operation; ``none`` lets that request pass."""

    operation: OperationName
    fault: Literal["error", "error_after", "drop_response", "refusal", "latency", "hang", "none"]
    ms: Milliseconds | None = None
    """How long a latency or a hang lasts; without it, a second or a minute."""

    @property
    def lasts(self) -> int:
        if self.ms is not None:
            return self.ms
        return {"latency": 1_000, "hang": 60_000}.get(self.fault, 0)


class PaymentFaults(Struct, forbid_unknown_fields=True):
    error_rate: Rate = 0.0
    latency_ms: Milliseconds = 0
    drop_response_rate: Rate = 0.0
    duplicate_webhook_rate: Rate = 0.0
    webhook_delay_ms: Milliseconds = 0
    webhook_jitter_ms: Milliseconds = 0
    """Every delivery waits up to so much longer, as the dice say: later events overtake earlier ones."""
    next: list[NextFault] = []


class MailFaults(Struct, forbid_unknown_fields=True):
    error_rate: Rate = 0.0
    latency_ms: Milliseconds = 0


class FaultPlan(Struct, forbid_unknown_fields=True):
    payments: PaymentFaults = msgspec.field(default_factory=PaymentFaults)
    mail: MailFaults = msgspec.field(default_factory=MailFaults)


@dataclass(slots=True)
class Mishap:
    """What happens to one request, in this order."""

    latency_ms: int = 0
    hangs: bool = False
    """Nothing is done and nothing is answered."""
    refuses: bool = False
    """A 500 before any work."""
    says_no: bool = False
    """A 400 before any work, which the idempotency key remembers: this request is refused for good."""
    breaks: bool = False
    """A 500 after the work was done; the idempotency key remembers that 500."""
    drops_answer: bool = False
    """The work is done, then the connection is cut."""


async def lasted(mishap: Mishap, call: Call) -> None:
    """The time that goes by before any work is done; a call that hangs ends without an answer."""
    if mishap.hangs:
        until = clock.now() + mishap.latency_ms / 1000
        while clock.now() < until and not call.caller_is_gone():  # noqa: ASYNC110  a transport cannot be awaited
            await asyncio.sleep(HANG_CHECK_SECONDS)
        raise ConnectionCut
    if mishap.latency_ms:
        await asyncio.sleep(mishap.latency_ms / 1000)


class Faults:
    """The plan that is in force; it survives a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.plan = FaultPlan()
        self.inflicted: Counter[str] = Counter()
        """How often this process has really dropped an answer or doubled a webhook."""
        self.recall()

    def recall(self) -> None:
        """Takes up the plan as it is stored."""
        row = self._store.one("SELECT body FROM faults")
        self.plan = msgspec.json.decode(row[0], type=FaultPlan) if row else FaultPlan()

    def merge(self, changes: object) -> None:
        """Puts ``changes`` over the plan, or raises ``msgspec.ValidationError`` and leaves it as it was."""
        self._adopt(msgspec.convert(_merged(msgspec.to_builtins(self.plan), changes), FaultPlan))

    def reset(self) -> None:
        self._adopt(FaultPlan())

    def for_payment(self, operation: OperationName) -> Mishap:
        """What shall happen to this request: the first planned fault of its operation, or else what the dice say."""
        mishap = self._mishap(operation)
        self.inflicted["drop_response"] += mishap.drops_answer
        return mishap

    def doubles_webhook(self) -> bool:
        is_doubled = hits(self.plan.payments.duplicate_webhook_rate)
        self.inflicted["duplicate_webhook"] += is_doubled
        return is_doubled

    def _mishap(self, operation: OperationName) -> Mishap:
        planned = self._take_planned(operation)
        rates = self.plan.payments
        if planned is None:
            return Mishap(
                latency_ms=rates.latency_ms, refuses=hits(rates.error_rate), drops_answer=hits(rates.drop_response_rate)
            )
        return Mishap(
            latency_ms=planned.lasts if planned.fault in ("latency", "hang") else rates.latency_ms,
            hangs=planned.fault == "hang",
            refuses=planned.fault == "error",
            says_no=planned.fault == "refusal",
            breaks=planned.fault == "error_after",
            drops_answer=planned.fault == "drop_response",
        )

    def _take_planned(self, operation: OperationName) -> NextFault | None:
        queue = self.plan.payments.next
        planned = next((fault for fault in queue if fault.operation == operation), None)
        if planned is not None:
            queue.remove(planned)
            self._adopt(self.plan)
        return planned

    def _adopt(self, plan: FaultPlan) -> None:
        with self._store.transaction():
            self._store.write("INSERT OR REPLACE INTO faults (id, body) VALUES (1, ?)", msgspec.json.encode(plan))
        self.plan = plan


def hits(rate: float) -> bool:
    return rate > 0 and dice.random() < rate


def up_to(milliseconds: int) -> float:
    """A random number of seconds."""
    return dice.uniform(0, milliseconds) / 1000


def _merged(plan: Any, changes: Any) -> Any:
    if not (isinstance(plan, dict) and isinstance(changes, dict)):
        return changes
    return plan | {name: _merged(plan.get(name), change) for name, change in changes.items()}
