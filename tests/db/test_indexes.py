"""Each index is written with every row, so a table has few of them."""

from sqlalchemy import text

from runtime.resources import Resources

MOST = 5
MORE = {
    "listed_products": (
        10,
        "it is what searches and lists read, by words, each sort and each filter, and seldom written",
    ),
    "webhook_deliveries": (
        7,
        "two of them hold only what waits and one what has ended; logs are read by endpoint and event",
    ),
    "orders": (
        7,
        "a cart becomes one order at most, guests claim theirs by their address, and staff find the few in a status",
    ),
}
"""Tables with more than five, and why."""

INDEXES = text("""
    SELECT tables.relname, count(*)::int FROM pg_index JOIN pg_class AS tables ON tables.oid = indrelid
    WHERE tables.relnamespace = 'public'::regnamespace GROUP BY tables.relname
""")


async def test_no_table_has_more_than_five_indexes_but_those_that_say_why(resources: Resources) -> None:
    async with resources.sessions() as session:
        counts: dict[str, int] = dict((await session.execute(INDEXES)).tuples().all())

    assert {table: count for table, count in counts.items() if count > MOST} == {
        table: count for table, (count, _) in MORE.items()
    }
