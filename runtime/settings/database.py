"""How the shop's Postgres is reached."""

from typing import Annotated

from pydantic import Field, SecretStr

from db.engine import TimeLimits
from runtime.settings.section import Section


class Database(Section):
    """The shop's PostgreSQL, and how long may be waited for it."""

    url: SecretStr = SecretStr("postgresql+asyncpg://sutler_app:@127.0.0.1:54329/sutler")
    """SQLAlchemy URL of the shop's Postgres; the driver is always asyncpg. The API and the workers sign in by it."""
    owner_url: SecretStr | None = None
    """Whose the tables are: `sutler migrate` signs in by it. Unset, it is the same as ``url``."""
    reader_url: SecretStr | None = None
    """Who may look at everything but secrets, and change nothing: `sutler migrate` sees to the grants."""
    admin_url: SecretStr | None = None
    """Who may make roles. Where it is set, `sutler migrate` first makes the others, with their URLs' passwords."""
    replica_url: SecretStr | None = None
    """A streaming replica of it; the API reads the catalogue from there what its memory lacks."""
    shop_schema: str = "public"
    """Postgres schema that holds this shop's tables."""
    pool_size: Annotated[int, Field(ge=1, le=200)] = 10
    """Connections that one process keeps open."""
    pool_wait_seconds: Annotated[float, Field(gt=0)] = 5.0
    """How long a request waits for a free connection, or for a new one, before it is answered 503."""
    statement_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long a statement of a request may take before it is undone and answered 503; 0: as long as it takes."""
    lock_seconds: Annotated[float, Field(ge=0)] = 5.0
    """How long a request may wait for others who change the same."""
    activity_statement_seconds: Annotated[float, Field(ge=0)] = 120.0
    """The same for activities, which do more at once, and are tried again."""
    activity_lock_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long an activity may wait for others who change the same."""
    idle_in_transaction_seconds: Annotated[float, Field(ge=0)] = 60.0
    """After that Postgres ends a transaction in which nothing is asked any more, and frees what it has locked."""
    activity_idle_in_transaction_seconds: Annotated[float, Field(ge=0)] = 300.0
    """Some activities ask others meanwhile: a bundle of letters is held while a slow mail server takes them."""

    @property
    def limits_of_requests(self) -> TimeLimits:
        return TimeLimits(
            statement=self.statement_seconds, lock=self.lock_seconds, idle=self.idle_in_transaction_seconds
        )

    @property
    def limits_of_activities(self) -> TimeLimits:
        return TimeLimits(
            statement=self.activity_statement_seconds,
            lock=self.activity_lock_seconds,
            idle=self.activity_idle_in_transaction_seconds,
        )
