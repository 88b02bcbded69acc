"""The smallest story there is: it asks one step."""

from dataclasses import dataclass

from temporalio import workflow

from domain.money import Money
from workflows.names import Queue
from workflows.steps.patience import ONE_PROVIDER_CALL, ONE_TRANSACTION
from workflows.steps.step import Step


@dataclass(frozen=True, kw_only=True)
class Question:
    amount: Money


@dataclass(frozen=True, kw_only=True)
class Reply:
    doubled: Money


REMOTE = Step("probe.remote", Question, Reply, ONE_PROVIDER_CALL, queue=Queue.PAYMENTS)
NEARBY = Step("probe.nearby", Question, Reply, ONE_PROVIDER_CALL)
LOCAL = Step("probe.local", Question, Reply, ONE_TRANSACTION)
STEPS = {step.name: step for step in (REMOTE, NEARBY, LOCAL)}


@workflow.defn
class Probe:
    @workflow.run
    async def run(self, step: str) -> str:
        reply = await STEPS[step](Question(amount=Money(21, "USD")), summary="double it")
        return f"{type(reply).__name__} {reply.doubled}"


class Doubling:
    @REMOTE.performed_by
    async def remote(self, question: Question) -> Reply:
        return Reply(doubled=question.amount * 2)

    @NEARBY.performed_by
    async def nearby(self, question: Question) -> Reply:
        return Reply(doubled=question.amount * 2)

    @LOCAL.performed_by
    async def local(self, question: Question) -> Reply:
        return Reply(doubled=question.amount * 2)
