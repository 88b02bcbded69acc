"""The few ways in which a story is patient with a step.

Time budgets, not attempt counts: an outage of ten seconds must not cancel an order.
"""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType, ActivityConfig, LocalActivityConfig

LONGEST_LOCAL_PAUSE = timedelta(milliseconds=500)
"""Longer pauses of a local step are the engine's timers. Only there is the budget looked at, and only then can the
story hear that its customer cancels; the SDK's own pauses would go on for ever, deaf."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long one attempt may take, how long all may take together (``None``: for ever), and the pauses between."""

    attempt: timedelta
    budget: timedelta | None
    first_pause: timedelta
    longest_pause: timedelta
    heartbeat: timedelta | None = None
    """How long a step that lasts may be silent before it counts as dead."""
    is_local: bool = False
    """Run inside the workflow's own worker: cheap, but repeated blindly after a crash. Never for money."""

    def options(self, queue: str | None, summary: str | None) -> ActivityConfig:
        return ActivityConfig(
            task_queue=queue,
            summary=summary,
            start_to_close_timeout=self.attempt,
            schedule_to_close_timeout=self.budget,
            heartbeat_timeout=self.heartbeat,
            retry_policy=self._retries(),
            # A cancelled story must know how the running step ended before it undoes anything.
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    def local_options(self, summary: str | None) -> LocalActivityConfig:
        return LocalActivityConfig(
            summary=summary,
            start_to_close_timeout=self.attempt,
            schedule_to_close_timeout=self.budget,
            retry_policy=self._retries(),
            local_retry_threshold=LONGEST_LOCAL_PAUSE,
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    def _retries(self) -> RetryPolicy:
        return RetryPolicy(
            initial_interval=self.first_pause, backoff_coefficient=2.0, maximum_interval=self.longest_pause
        )


ONE_TRANSACTION = Patience(
    attempt=timedelta(seconds=3),
    budget=timedelta(seconds=20),
    first_pause=timedelta(milliseconds=50),
    longest_pause=timedelta(seconds=1),
    is_local=True,
)
"""A short idempotent database transaction on the way to the customer's answer."""

ONE_TRANSACTION_UNTIL_DONE = Patience(
    attempt=timedelta(seconds=3),
    budget=None,
    first_pause=timedelta(milliseconds=50),
    longest_pause=timedelta(seconds=10),
    is_local=True,
)
"""The transaction after which there is no way back: it has to happen."""

ONE_PROVIDER_CALL = Patience(
    attempt=timedelta(seconds=15),
    budget=timedelta(minutes=2),
    first_pause=timedelta(milliseconds=500),
    longest_pause=timedelta(seconds=15),
)
"""A call to a partner while a customer waits."""

ONE_QUESTION = Patience(
    attempt=timedelta(seconds=5),
    budget=timedelta(seconds=8),
    first_pause=timedelta(milliseconds=200),
    longest_pause=timedelta(seconds=2),
)
"""A question to a partner without whose answer there is no total; shorter than a customer waits for a checkout."""

UNTIL_DONE = Patience(
    attempt=timedelta(seconds=30),
    budget=None,
    first_pause=timedelta(seconds=1),
    longest_pause=timedelta(minutes=5),
)
"""No attempt limit: a lost refund is worse than a patient one."""

A_DAY_OF_TRIES = Patience(
    attempt=timedelta(seconds=30),
    budget=timedelta(hours=24),
    first_pause=timedelta(seconds=1),
    longest_pause=timedelta(minutes=10),
)
"""Mail and the like: worth a day of trying, not worth stopping an order for."""

A_SHIFT = Patience(
    attempt=timedelta(minutes=15),
    budget=None,
    first_pause=timedelta(seconds=1),
    longest_pause=timedelta(seconds=10),
    heartbeat=timedelta(seconds=10),
)
"""Work that goes on and on, in pieces that a worker can finish; the next worker takes over when one falls silent."""

A_LONG_LOOK = Patience(
    attempt=timedelta(hours=1),
    budget=None,
    first_pause=timedelta(seconds=1),
    longest_pause=timedelta(minutes=1),
    heartbeat=timedelta(minutes=1),
)
"""Reading through long lists: what is found is told as it goes, and the next worker reads on from there."""

A_CHUNK = Patience(
    attempt=timedelta(minutes=5),
    budget=None,
    first_pause=timedelta(seconds=1),
    longest_pause=timedelta(minutes=1),
    heartbeat=timedelta(seconds=10),
)
"""A longer transaction that nobody waits for; the next worker begins it anew when one falls silent."""

A_PICTURE = Patience(
    attempt=timedelta(hours=1),
    budget=None,
    first_pause=timedelta(seconds=1),
    longest_pause=timedelta(minutes=1),
    heartbeat=timedelta(seconds=10),
)
"""All that there is at one moment, read through one connection; the next worker begins anew when one falls silent."""
