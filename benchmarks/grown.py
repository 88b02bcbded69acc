"""A shop that has been selling for years: orders of the past, written straight into its tables.

What was bought are real baskets of the Complete Journey data set. Everything else is copied from an order that the shop
has really sold and delivered: whatever that left in a table, each of these has left there too, with ids and times of
its own. Ids and times grow together, as they do when orders come one after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from deploy.embedded.postgres import database_url
from providers import complete_journey

TRIPS = 20_000
LONGEST = 4
"""Lines of an order, at most; the baskets are a grocer's."""
DAYS = 900
KEPT = 29
"""Days of events and of what was sent to an endpoint; older ones were removed, as are those of the provider later."""
REGULARS = 100
"""Every so many orders one of the customer who has an account."""

AS_IF_LONG_AGO = "SET session_replication_role = replica"
"""No triggers and no look at foreign keys: nobody is told of what has been."""

SOLD = """
    CREATE TEMPORARY TABLE sold AS
    SELECT trip, trips.position, variants.id AS variant_id, variants.sku, quantity, amount AS unit_price
    FROM trips JOIN variants USING (sku) JOIN prices ON prices.variant_id = variants.id AND currency = 'USD'
"""
BASKETS = """
    CREATE TEMPORARY TABLE baskets AS
    SELECT row_number() OVER (ORDER BY trip) - 1 AS place, trip, count(*) AS lines, sum(quantity) AS units,
           sum(quantity * unit_price) AS goods
    FROM sold GROUP BY trip
"""
MODEL = """
    CREATE TEMPORARY TABLE model AS
    SELECT orders.id AS order_id, orders.cart_id, orders.created_at AS at, orders.total - orders.subtotal AS fees,
           payments.provider_reference AS reference, fulfillments.id AS parcel_id,
           (SELECT created_at FROM checkouts WHERE order_id = orders.id) AS asked_at,
           (SELECT max(order_events.at) FROM order_events WHERE order_id = orders.id) AS until
    FROM orders JOIN payments ON payments.order_id = orders.id JOIN fulfillments ON fulfillments.order_id = orders.id
    WHERE orders.status = 'delivered' AND payments.refunded = 0 AND orders.user_id IS NULL
    ORDER BY orders.id DESC LIMIT 1
"""
MADE = """
    CREATE TEMPORARY TABLE made AS
    SELECT n, trip, now() - ago AS at, uuidv7(-ago) AS order_id, gen_random_uuid() AS cart_id,
           uuidv7(-ago) AS payment_id, uuidv7(-ago) AS parcel_id, goods, goods + fees AS total, lines, units,
           CASE WHEN n % :regulars = 0 THEN (SELECT id FROM users WHERE email = 'shopper@example.com') END AS user_id
    FROM generate_series(1, CAST(:orders AS integer)) AS n
    CROSS JOIN LATERAL (SELECT (:orders + 1 - n) * make_interval(days => :days) / (:orders + 1) AS ago) AS past
    CROSS JOIN model
    JOIN baskets ON place = n % (SELECT count(*) FROM baskets)
"""
BOUGHT = """
    CREATE TEMPORARY TABLE bought AS
    SELECT made.*, uuidv7(made.at - now()) AS line_id, position, variant_id, sku, quantity, unit_price
    FROM made JOIN sold USING (trip)
"""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What the model has left in a table, and what is different about an order's own."""

    table: str
    model: str = "old.order_id = model.order_id"
    each: str = "made"
    """What has a row for each of the model's: every order (``made``), or everything bought (``bought``)."""
    own: Mapping[str, str] = field(default_factory=dict)
    days: int | None = None
    """How long it is kept, if not for ever."""


OF_LINE = "old.id = (SELECT min(id::text)::uuid FROM order_lines WHERE order_id = model.order_id)"
OWN_IDS = "replace(replace(%s, model.order_id::text, new.order_id::text), model.parcel_id::text, new.parcel_id::text)"
OF_ORDER = {"order_id": "new.order_id"}
COPIED = (
    Copied(
        table="orders",
        model="old.id = model.order_id",
        own={
            "id": "new.order_id",
            "number": "nextval('order_numbers')",
            "cart_id": "new.cart_id",
            "user_id": "new.user_id",
            "email": "'guest' || n % 200000 || '@example.com'",
            "subtotal": "new.goods",
            "total": "new.total",
            "closed_at": "new.at + interval '30 days'",
        },
    ),
    Copied(
        table="order_lines",
        model=OF_LINE,
        each="bought",
        own=OF_ORDER
        | {column: f"new.{column}" for column in ("position", "variant_id", "sku", "quantity", "unit_price")}
        | {"id": "new.line_id", "line_total": "new.quantity * new.unit_price"},
    ),
    Copied(
        table="carts",
        own=OF_ORDER
        | {"id": "new.cart_id", "user_id": "new.user_id", "line_count": "new.lines", "unit_count": "new.units"},
    ),
    Copied(
        table="cart_items",
        model="old.cart_id = model.cart_id",
        each="bought",
        own={"id": "new.line_id", "cart_id": "new.cart_id", "variant_id": "new.variant_id", "quantity": "new.quantity"},
    ),
    Copied(
        table="checkouts",
        own=OF_ORDER | {"order_number": "n", "payment_id": "new.payment_id", "cart_id": "new.cart_id"},
    ),
    Copied(
        table="idempotency_keys",
        model="old.created_at BETWEEN model.asked_at AND model.until",
        own={
            "key": "gen_random_uuid()::text",
            "wish_id": "gen_random_uuid()",
            "cart_id": "CASE WHEN old.cart_id IS NOT NULL THEN new.cart_id END",
        },
    ),
    Copied(
        table="payments",
        own=OF_ORDER
        | {"id": "new.payment_id", "provider_reference": "'pi_' || substr(md5(new.payment_id::text), 1, 24)"}
        | dict.fromkeys(("amount", "authorized", "captured"), "new.total"),
    ),
    Copied(
        table="webhook_events",
        model="old.payload::text LIKE '%' || model.reference || '%'",
        own={"event_id": "'evt_' || substr(md5(gen_random_uuid()::text), 1, 24)"},
        days=89,
    ),
    Copied(table="order_events", own=OF_ORDER),
    Copied(table="audit_log", own=OF_ORDER | {"id": "uuidv7(new.at - now())"}),
    Copied(
        table="fulfillments",
        own=OF_ORDER | {"id": "new.parcel_id", "tracking_number": "'1Z' || n", "charge": "new.total"},
    ),
    Copied(
        table="fulfillment_items",
        model="old.fulfillment_id = model.parcel_id",
        each="bought",
        own={"fulfillment_id": "new.parcel_id", "order_line_id": "new.line_id", "quantity": "new.quantity"},
    ),
    Copied(
        table="stock_holds",
        each="bought",
        own=OF_ORDER | {"variant_id": "new.variant_id", "quantity": "new.quantity", "shipped": "new.quantity"},
    ),
    Copied(
        table="stock_movements",
        each="bought",
        own=OF_ORDER
        | {"variant_id": "new.variant_id"}
        | {column: f"sign(old.{column}) * new.quantity" for column in ("on_hand_change", "reserved_change")},
    ),
    Copied(
        table="letters",
        model="old.about = model.order_id",
        own={"key": OWN_IDS % "old.key", "about": "new.order_id"},
    ),
    Copied(
        table="outbox",
        model="old.key = model.order_id::text",
        own={
            "event_id": "uuidv7(new.at - now())",
            "key": "new.order_id::text",
            "position": "-row_number() OVER (ORDER BY n DESC, old.id DESC)",
        },
        days=KEPT,
    ),
)
RECEIVED = """
    INSERT INTO stock_movements (variant_id, on_hand_change, reserved_change, reason, at)
    SELECT variant_id, sum(quantity), 0, 'received', min(at) FROM bought GROUP BY variant_id
"""
"""What was sold has come in before."""
ENDPOINT = "00000000-0000-4000-8000-000000000001"
TOLD_NO_MORE = text(
    "INSERT INTO webhook_endpoints (id, url, status) VALUES (:id, 'https://example.com/hooks', 'disabled')"
)
SENT = {
    "webhook_messages": """
        INSERT INTO webhook_messages (event_id, type, at, body)
        SELECT event_id, type, created_at, convert_to(jsonb_build_object(
                   'specversion', '1.0', 'id', event_id, 'source', 'https://shop.example.com', 'type', type,
                   'subject', key, 'time', created_at, 'datacontenttype', 'application/json', 'data', payload
               )::text, 'UTF8')
        FROM outbox WHERE position < 0 ORDER BY position""",
    "webhook_deliveries": f"""
        INSERT INTO webhook_deliveries (id, endpoint_id, event_id, key, position, status, is_handed_out, attempts,
            last_attempt_at, asked_at, ended_at)
        SELECT uuidv7(created_at - now()), '{ENDPOINT}', event_id, key, position, 'delivered', true, 1, created_at,
               created_at, created_at
        FROM outbox WHERE position < 0 ORDER BY position""",  # noqa: S608 (constant)
    "webhook_attempts": """
        INSERT INTO webhook_attempts (delivery_id, number, at, status_code, milliseconds)
        SELECT id, 1, asked_at, 204, 80 FROM webhook_deliveries ORDER BY position""",
}
"""To one endpoint."""
TABLES = frozenset({copied.table for copied in COPIED} | SENT.keys())
"""Those that grow with the orders."""

COLUMNS = text("""
    SELECT attname, atttypid = 'timestamptz'::regtype AS is_time FROM pg_attribute
    WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped
      AND attidentity = '' AND attgenerated = ''
    ORDER BY attnum
""")


async def grow(port: int, orders: int, tell: Callable[[str], None]) -> None:
    """Write so many delivered orders of the last years, and let Postgres look at what it has then."""
    engine = create_async_engine(database_url(port))
    async with engine.begin() as connection:
        await connection.execute(text(AS_IF_LONG_AGO))
        await _trips(connection)
        await connection.execute(text(SOLD))
        await connection.execute(text(BASKETS))
        await connection.execute(text("ANALYZE baskets"))
        await connection.execute(text(MODEL))
        await connection.execute(text(MADE), {"orders": orders, "days": DAYS, "regulars": REGULARS})
        await connection.execute(text(BOUGHT))
        await connection.execute(text("ANALYZE made, bought"))
        await connection.execute(text(RECEIVED))
        for copied in COPIED:
            tell(f"{orders:,} orders: {copied.table}")
            await _copy(connection, copied)
        await connection.execute(
            text(
                "INSERT INTO webhook_endpoints (id, url, status) VALUES (:id, 'https://example.com/hooks', 'disabled')"
            ),
            {"id": ENDPOINT},
        )
        for table, statement in SENT.items():
            tell(f"{orders:,} orders: {table}")
            await connection.execute(text(statement))
    async with engine.connect() as connection:
        tell("vacuum and analyze")
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM ANALYZE"))
    await engine.dispose()


async def _trips(connection: AsyncConnection) -> None:
    skus = (await connection.scalars(text("SELECT sku FROM variants"))).all()
    bought = [trip for trip in complete_journey.baskets(skus, TRIPS, seed=1) if trip]
    rows = [
        {"trip": number, "position": position, "sku": sku, "quantity": quantity}
        for number, trip in enumerate(bought, start=1)
        for position, (sku, quantity) in enumerate([*trip.items()][:LONGEST], start=1)
    ]
    columns = "trip integer, position integer, sku varchar, quantity integer"
    await connection.execute(text(f"CREATE TEMPORARY TABLE trips ({columns})"))
    await connection.execute(text("INSERT INTO trips VALUES (:trip, :position, :sku, :quantity)"), rows)


async def _copy(connection: AsyncConnection, copied: Copied) -> None:
    """Times that are not the order's own are as long after it as the model's were."""
    columns = (await connection.execute(COLUMNS, {"table": copied.table})).all()
    values = [
        copied.own.get(name) or (f"new.at + (old.{name} - model.at)" if is_time else f"old.{name}")
        for name, is_time in columns
    ]
    rows = f"SELECT old.* FROM {copied.table} AS old, model WHERE {copied.model}"  # noqa: S608 (constants)
    recent = f"WHERE new.at > now() - interval '{copied.days} days'" if copied.days else ""
    await connection.execute(text(f"CREATE TEMPORARY TABLE of_the_model AS {rows}"))
    await connection.execute(
        text(
            f"INSERT INTO {copied.table} ({', '.join(name for name, _ in columns)}) SELECT {', '.join(values)} "  # noqa: S608
            f"FROM {copied.each} AS new CROSS JOIN of_the_model AS old CROSS JOIN model {recent} ORDER BY n"
        )
    )
    await connection.execute(text("DROP TABLE of_the_model"))


@dataclass(frozen=True, kw_only=True)
class Left:
    """What an order leaves in a table."""

    table: str
    days: int | None
    rows_an_order: float
    bytes_a_row: float
    bytes_of_indexes: float

    @property
    def bytes_an_order(self) -> float:
        return self.rows_an_order * self.bytes_a_row


SIZES = text("""
    SELECT relname AS name, greatest(reltuples, 1) AS rows, pg_total_relation_size(oid) AS bytes,
           pg_indexes_size(oid) AS indexes
    FROM pg_class WHERE relname = ANY(:tables) AND relnamespace = 'public'::regnamespace
""")


async def left_behind(port: int, orders: int) -> Sequence[Left]:
    """By table, the largest first; what is kept for some days belongs to the orders of these days."""
    engine = create_async_engine(database_url(port))
    days = {copied.table: copied.days for copied in COPIED} | dict.fromkeys(SENT, KEPT)
    async with engine.connect() as connection:
        sizes = (await connection.execute(SIZES, {"tables": list(TABLES)})).all()
    await engine.dispose()
    left = [
        Left(
            table=size.name,
            days=days[size.name],
            rows_an_order=size.rows / (orders * (days[size.name] or DAYS) / DAYS),
            bytes_a_row=size.bytes / size.rows,
            bytes_of_indexes=size.indexes / size.rows,
        )
        for size in sizes
    ]
    return sorted(left, key=lambda each: each.bytes_an_order, reverse=True)
