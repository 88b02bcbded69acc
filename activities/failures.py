"""The one place where exceptions become final or retryable for the engine."""

from typing import Any

from asyncpg import PostgresError
from sqlalchemy.exc import DBAPIError
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import Refusal


class FailureTranslation(Interceptor):
    """A business refusal is final and benign; everything else is retried.

    What Postgres says of a failure quotes rows and parameters, and a failure is written into the workflow's history:
    of those, only the kind is told.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 (the SDK's name)
        return _Translating(next)


class _Translating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (the SDK's name)
        try:
            return await self.next.execute_activity(input)
        except Refusal as refusal:
            raise ApplicationError(
                refusal.detail,
                refusal.facts,
                type=refusal.code,
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,
            ) from None
        except (DBAPIError, PostgresError) as error:
            told = error.orig if isinstance(error, DBAPIError) else error
            state = getattr(told, "sqlstate", None) or type(error).__name__
            raise ApplicationError(f"Postgres failed with {state}.", type="DatabaseError") from None
