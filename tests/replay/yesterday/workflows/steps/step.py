"""What a story may ask of the world, typed at both ends."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from temporalio import activity, workflow

from tests.replay.yesterday.workflows.names import Queue
from tests.replay.yesterday.workflows.steps.patience import Patience

Request = TypeVar("Request")
Result = TypeVar("Result")
Performer = TypeVar("Performer")


@dataclass(frozen=True)
class Step(Generic[Request, Result]):
    """One named activity: what it takes, what it gives, how patient a story is with it, and where it runs.

    ``queue`` is ``None`` for steps that run on the queue of the workflow which asks. A story calls a step like a
    function; the activity that performs it is bound by :meth:`performed_by`, and mypy holds the two together.
    """

    name: str
    takes: type[Request]
    gives: type[Result]
    patience: Patience
    queue: Queue | None = None

    async def __call__(self, request: Request, *, summary: str | None = None) -> Result:
        """Perform the step durably; raises ``ActivityError`` when it fails for good or patience ends."""
        if self.patience.is_local:
            local = self.patience.local_options(summary)
            answer = await workflow.execute_local_activity(self.name, request, result_type=self.gives, **local)
        else:
            options = self.patience.options(self.queue, summary)
            answer = await workflow.execute_activity(self.name, request, result_type=self.gives, **options)
        return cast(Result, answer)

    def performed_by(
        self, method: Callable[[Performer, Request], Awaitable[Result]]
    ) -> Callable[[Performer, Request], Awaitable[Result]]:
        """Register an activity method as the one that performs this step."""
        activity.defn(name=self.name)(method)
        return method
