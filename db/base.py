"""What all tables share: names of constraints, ids, times."""

import time
from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import DateTime, MetaData, Uuid, func
from sqlalchemy.orm import DeclarativeBase, mapped_column
from uuid_utils.compat import uuid7


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: DateTime(timezone=True), UUID: Uuid()}  # noqa: RUF012 (SQLAlchemy's own form)


def new_id() -> UUID:
    """A UUIDv7: unique, and ordered by the time it was made."""
    return uuid7()


def before_ids_of_the_last(seconds: int) -> UUID:
    """What sorts before every id that :func:`new_id` has made for so long."""
    return UUID(int=int((time.time() - seconds) * 1000) << 80)


Id = Annotated[UUID, mapped_column(primary_key=True, default=new_id)]
Now = Annotated[datetime, mapped_column(server_default=func.now())]


def one_of(column: str, values: type) -> str:
    """The text of a CHECK that holds a column to the values of a ``StrEnum``."""
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"  # type: ignore[attr-defined]
