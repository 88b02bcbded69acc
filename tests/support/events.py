"""What is true of the events of every order, whatever a test has done with it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any
from uuid import uuid4

import jsonschema_rs
from sqlalchemy import text

from db.engine import Sessions
from domain.events import amount_of, rebuilt, schema_name
from domain.money import Money
from domain.orders import number_of
from runtime.event_schemas import schemas

AMOUNTS = ("subtotal", "discount", "shipping", "tax", "total")


async def events_tell_the_orders(sessions: Sessions) -> None:
    """Every event keeps its promise and says nothing else, and every order is what its events make of it."""
    async with sessions() as session:
        told = (await session.execute(text("SELECT id, key, type, version, payload FROM outbox ORDER BY id"))).all()
        rows = (await session.execute(ORDERS)).mappings().all()
    by_key: defaultdict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for event in told:
        if event.version:
            validator(schema_name(event.type, event.version)).validate(event.payload)
            by_key[event.key].append((event.type, event.payload))
    wrong = [
        difference
        for row in rows
        if (told_of := by_key[str(row["id"])]) and (difference := differs(told_of, dict(row))) is not None
    ]
    assert not wrong, "\n".join(wrong[:10])


def differs(told: list[tuple[str, dict[str, Any]]], row: dict[str, Any]) -> str | None:
    order = rebuilt(told)
    known = {
        "number": order.number,
        "amounts": dict(order.amounts),
        "standing": dict(order.standing),
        "items": {key: [it.variant_id, it.sku, it.quantity, it.cancelled] for key, it in order.items.items()},
    }
    kept = {
        "number": number_of(row["number"]),
        "amounts": {name: amount_of(Money(row[name], row["currency"])) for name in AMOUNTS},
        "standing": row["standing"],
        "items": row["items"],
    }
    return None if known == kept else f"{order.order_id}: told {known}, is {kept}; {[kind for kind, _ in told]}"


@cache
def validator(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(closed(schemas()[name]), validate_formats=True)


def closed(schema: Any) -> Any:
    """Without room for what was not promised."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    return {**inner, "additionalProperties": False} if "properties" in schema else inner


ORDERS = text(
    """
    SELECT orders.*, order_standing(orders) AS standing,
           (SELECT jsonb_object_agg(id, jsonb_build_array(variant_id, sku, quantity, cancelled)) FROM order_lines
            WHERE order_id = orders.id) AS items
    FROM orders
    """
)


async def tell(sessions: Sessions, *, orders: int, each: int) -> list[str]:
    """Events of orders that there are not, written as fast as Postgres can; the keys of those orders."""
    keys = [str(uuid4()) for _ in range(orders)]
    async with sessions.begin() as session:
        await session.execute(TELL, {"keys": keys, "each": each})
    return keys


TELL = text(
    """
    INSERT INTO outbox (event_id, type, version, key, payload)
    SELECT gen_random_uuid(), 'order.payment_renewed', 1, key,
           jsonb_build_object('order_id', key, 'sequence', sequence, 'at', now())
    FROM generate_series(1, CAST(:each AS int)) AS sequence, unnest(CAST(:keys AS text[])) AS key
    ORDER BY sequence
    """
)


def once_and_in_order(told: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """The sequence numbers of each order, as somebody reads them who forgets what was heard before."""
    heard: dict[str, Any] = {}
    for event in told:
        assert heard.setdefault(event["id"], event) == event, "one id, two bodies"
    orders: defaultdict[str, list[int]] = defaultdict(list)
    for event in heard.values():
        orders[event["partitionkey"]].append(int(event["sequence"]))
    return dict(orders)
