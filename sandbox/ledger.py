"""Every movement of money, append-only: the independent witness for "nobody was charged twice".

Amounts are integers in the currency's minor unit, as Stripe has them. For each intent
``authorize - capture - void`` is what its card still holds, and
``capture - refund - dispute + dispute_reversal`` what the shop has.
"""

from typing import Any, Literal, get_args

import msgspec

from sandbox import clock
from sandbox.objects import PaymentIntent
from sandbox.store import Store

Movement = Literal["authorize", "capture", "void", "refund", "dispute", "dispute_reversal"]
MOVEMENTS: tuple[Movement, ...] = get_args(Movement)
FIELDS = ("id", "payment_intent", "kind", "amount", "currency", "idempotency_key", "metadata", "at")


class Ledger:
    def __init__(self, store: Store) -> None:
        self._store = store

    def append(
        self, kind: Movement, intent: PaymentIntent, amount: int, *, key: str | None, metadata: dict[str, str]
    ) -> None:
        """Writes down one movement; part of the caller's transaction."""
        self._store.write(
            "INSERT INTO ledger (payment_intent, kind, amount, currency, idempotency_key, metadata, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            intent.id,
            kind,
            amount,
            intent.currency,
            key,
            msgspec.json.encode(metadata),
            clock.timestamp(),
        )

    def rows(self, payment_intent: str | None = None, after: int = 0, limit: int = -1) -> list[dict[str, Any]]:
        """Oldest first; without a limit, all there are."""
        columns = ", ".join(FIELDS)
        only = "AND payment_intent = ?" if payment_intent else ""
        found = self._store.all(
            f"SELECT {columns} FROM ledger WHERE id > ? {only} ORDER BY id LIMIT ?",  # noqa: S608  constants
            *([after, payment_intent, limit] if payment_intent else [after, limit]),
        )
        rows = [dict(zip(FIELDS, row, strict=True)) for row in found]
        for row in rows:
            row["metadata"] = msgspec.Raw(row["metadata"])
        return rows

    def totals(self) -> dict[str, dict[str, int]]:
        """Per currency what was authorized, captured, voided, refunded and disputed, and what that leaves."""
        totals: dict[str, dict[str, int]] = {}
        for currency, kind, amount in self._store.all(
            "SELECT currency, kind, sum(amount) FROM ledger GROUP BY currency, kind"
        ):
            totals.setdefault(currency, dict.fromkeys(map(str, MOVEMENTS), 0))[kind] = amount
        for sums in totals.values():
            sums["held"] = sums["authorize"] - sums["capture"] - sums["void"]
            sums["balance"] = sums["capture"] - sums["refund"] - sums["dispute"] + sums["dispute_reversal"]
        return totals
