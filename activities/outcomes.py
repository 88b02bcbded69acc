"""How payments go, counted where they are asked for: once for each try, whichever story wanted it."""

from typing import Any

from prometheus_client import Counter
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.payments import AuthorizationRenewed, PaymentAuthorization, PaymentCapture
from providers.payments import OutcomeUnknown
from workflows.steps import payments

PAYMENTS = Counter("sutler_payment_answers_total", "What payment providers answered", ["step", "answer"])
COUNTED = frozenset({payments.authorize.name, payments.renew.name, payments.capture.name})


class Outcomes(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 (the SDK's name)
        return _Counting(next)


class _Counting(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (the SDK's name)
        step = activity.info().activity_type
        if step not in COUNTED:
            return await self.next.execute_activity(input)
        try:
            answer = await self.next.execute_activity(input)
        except OutcomeUnknown:
            PAYMENTS.labels(step, "unknown").inc()
            raise
        PAYMENTS.labels(step, answer_of(answer)).inc()
        return answer


def answer_of(result: object) -> str:
    match result:
        case PaymentAuthorization(answer=answer):
            return str(answer)
        case PaymentCapture(is_captured=is_captured):
            return "captured" if is_captured else "refused"
        case AuthorizationRenewed(refusal=refusal):
            return "authorized" if refusal is None else "refused"
    return "other"
