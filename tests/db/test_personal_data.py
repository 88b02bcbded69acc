"""The list of where people are is held to the tables."""

import re

from sqlalchemy import Column, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import String

from db.personal_data import HELD, NOT_PERSONAL
from db.tables import metadata

LOOKS_PERSONAL = re.compile(
    r"name|mail|phone|address|line1|city|postal|birth|reason|note|words|detail|comment|message|answer|payload|data|label"
    r"|agent|^ip|_ip$|device|reference|tracking|password|secret|^key$"
)
EXCEPT = {"letters.key", "outbox.key", "webhook_deliveries.key", "catalog_import_keys.key", "credit_entries.key"}
"""Made of ids; or a product's."""

TABLES = {held.table: held for held in HELD}


def could_hold_somebody(column: Column[object]) -> bool:
    if isinstance(column.type, JSONB):
        return True
    return isinstance(column.type, String | Text) and LOOKS_PERSONAL.search(column.name) is not None


def named(column: Column[object]) -> str:
    return f"{column.table.name}.{column.name}"


def test_every_column_in_which_somebody_could_be_is_on_the_list() -> None:
    looked_at = {f"{held.table}.{column}" for held in HELD for column in held.becomes} | NOT_PERSONAL | EXCEPT
    could = {
        named(column) for table in metadata.sorted_tables for column in table.columns if could_hold_somebody(column)
    }

    assert could - looked_at == set()


def test_the_list_names_only_what_there_is() -> None:
    columns = {named(column) for table in metadata.sorted_tables for column in table.columns}

    assert {f"{held.table}.{column}" for held in HELD for column in held.becomes} <= columns
    assert columns >= NOT_PERSONAL
    assert len(TABLES) == len(HELD)


def test_whatever_belongs_to_an_account_or_an_order_of_one_is_on_the_list() -> None:
    owned = {
        table.name
        for table in metadata.sorted_tables
        if any(key.column.table.name in ("users", "login_sessions", "carts") for key in table.foreign_keys)
    }

    assert owned - TABLES.keys() == {"erasures"}
