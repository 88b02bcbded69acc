"""Where Stripe's objects are kept, found by id and listed newest first."""

from typing import Generic, TypeVar

import msgspec

from sandbox.objects import Charge, Dispute, Event, PaymentIntent, Refund, TaxCalculation
from sandbox.params import Created, ListParams
from sandbox.store import Store

T = TypeVar("T", PaymentIntent, Charge, Refund, Dispute, Event, TaxCalculation)


class Shelf(Generic[T]):
    """One table of objects that share a type; ``columns`` are the fields that lists and searches look at."""

    def __init__(self, store: Store, table: str, kind: type[T], columns: tuple[str, ...]) -> None:
        self._store = store
        self._table = table
        self._columns = columns
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._encoder = msgspec.json.Encoder()
        names = ("id", "created", *columns, "body")
        changes = ", ".join(f"{name} = excluded.{name}" for name in (*columns, "body"))
        # Table and columns are constants of this program, never a caller's words.
        self._put = (
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "  # noqa: S608
            f"ON CONFLICT (id) DO UPDATE SET {changes}"
        )
        self._find = f"SELECT body FROM {table} WHERE id = ?"  # noqa: S608

    def put(self, kept: T) -> None:
        searched = [getattr(kept, column) for column in self._columns]
        self._store.write(self._put, kept.id, kept.created, *searched, self._encoder.encode(kept))

    def find(self, object_id: str) -> T | None:
        row = self._store.one(self._find, object_id)
        return self._decoder.decode(row[0]) if row else None

    def page(self, wanted: ListParams, **equal: str | None) -> tuple[list[T], bool]:
        """Up to ``limit`` objects, newest first, and whether there are more."""
        clauses: list[tuple[str, object]] = [
            (f"{column} = ?", value) for column, value in equal.items() if value is not None
        ]
        clauses += [(f"created {sign} ?", moment) for sign, moment in _bounds(wanted.created)]
        if wanted.starting_after:
            clauses.append((f"seq < (SELECT seq FROM {self._table} WHERE id = ?)", wanted.starting_after))  # noqa: S608
        if wanted.ending_before:
            clauses.append((f"seq > (SELECT seq FROM {self._table} WHERE id = ?)", wanted.ending_before))  # noqa: S608
        backwards = bool(wanted.ending_before)
        found = self.where(
            " AND ".join(clause for clause, _ in clauses) or "TRUE",
            [value for _, value in clauses],
            wanted.limit + 1,
            oldest_first=backwards,
        )
        page = found[: wanted.limit]
        return page[::-1] if backwards else page, len(found) > wanted.limit

    def where(self, condition: str, values: list[object], limit: int, *, oldest_first: bool = False) -> list[T]:
        order = "ASC" if oldest_first else "DESC"
        sql = f"SELECT body FROM {self._table} WHERE {condition} ORDER BY seq {order} LIMIT ?"  # noqa: S608
        return [self._decoder.decode(body) for (body,) in self._store.all(sql, *values, limit)]


def _bounds(created: Created | int | None) -> list[tuple[str, int]]:
    if created is None:
        return []
    if isinstance(created, int):
        return [("=", created)]
    signs = {">": created.gt, ">=": created.gte, "<": created.lt, "<=": created.lte}
    return [(sign, moment) for sign, moment in signs.items() if moment is not None]


class Shelves:
    """Every kind of object the card provider keeps."""

    def __init__(self, store: Store) -> None:
        self.intents = Shelf(store, "payment_intents", PaymentIntent, ("status", "currency", "amount", "customer"))
        self.charges = Shelf(store, "charges", Charge, ("payment_intent",))
        self.refunds = Shelf(store, "refunds", Refund, ("payment_intent", "charge"))
        self.disputes = Shelf(store, "disputes", Dispute, ("payment_intent", "charge"))
        self.events = Shelf(store, "events", Event, ("type",))
        self.tax_calculations = Shelf(store, "tax_calculations", TaxCalculation, ())
