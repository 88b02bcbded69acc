"""What a story may ask of payments. All run on their own queue, where a provider's limits can be kept."""

from tests.replay.yesterday.domain.payments import (
    AuthorizePayment,
    CapturePayment,
    GiveMoneyBack,
    LookUpPayment,
    PaymentAuthorization,
    PaymentCapture,
    PaymentGivenBack,
    PaymentReleased,
    ReleasePayment,
)
from tests.replay.yesterday.workflows.names import Queue
from tests.replay.yesterday.workflows.steps.patience import ONE_PROVIDER_CALL, UNTIL_DONE
from tests.replay.yesterday.workflows.steps.step import Step

authorize = Step("payments.authorize", AuthorizePayment, PaymentAuthorization, ONE_PROVIDER_CALL, queue=Queue.PAYMENTS)
look_up = Step("payments.look_up", LookUpPayment, PaymentAuthorization, UNTIL_DONE, queue=Queue.PAYMENTS)
capture = Step("payments.capture", CapturePayment, PaymentCapture, UNTIL_DONE, queue=Queue.PAYMENTS)
release = Step("payments.release", ReleasePayment, PaymentReleased, UNTIL_DONE, queue=Queue.PAYMENTS)
"""Free what the card still holds, because nothing more will be captured."""
give_back = Step("payments.give_back", GiveMoneyBack, PaymentGivenBack, UNTIL_DONE, queue=Queue.PAYMENTS)
