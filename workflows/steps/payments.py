"""What a story may ask of payments. All run on their own queue, where a provider's limits can be kept."""

from domain.payments import (
    AuthorizationRenewed,
    AuthorizePayment,
    CapturePayment,
    GiveMoneyBack,
    LookIntoStray,
    LookUpPayment,
    PaymentAuthorization,
    PaymentCapture,
    PaymentFound,
    PaymentGivenBack,
    PaymentReleased,
    ReleasePayment,
    RenewAuthorization,
    StrayFound,
)
from workflows.names import Queue
from workflows.steps.patience import ONE_PROVIDER_CALL, UNTIL_DONE
from workflows.steps.step import Step

authorize = Step("payments.authorize", AuthorizePayment, PaymentAuthorization, ONE_PROVIDER_CALL, queue=Queue.PAYMENTS)
look_up = Step("payments.look_up", LookUpPayment, PaymentAuthorization, UNTIL_DONE, queue=Queue.PAYMENTS)
find = Step("payments.find", LookUpPayment, PaymentFound, UNTIL_DONE, queue=Queue.PAYMENTS)
"""What became of a wish whose answer was lost; unlike ``look_up``, a payment that was never made is no decline."""
capture = Step("payments.capture", CapturePayment, PaymentCapture, UNTIL_DONE, queue=Queue.PAYMENTS)
renew = Step("payments.renew", RenewAuthorization, AuthorizationRenewed, UNTIL_DONE, queue=Queue.PAYMENTS)
"""Have the money held once more, because the provider has let go of it."""
release = Step("payments.release", ReleasePayment, PaymentReleased, UNTIL_DONE, queue=Queue.PAYMENTS)
"""Free what the card still holds, because nothing more will be captured."""
inspect = Step("payments.inspect", LookIntoStray, StrayFound, UNTIL_DONE, queue=Queue.PAYMENTS)
"""What the provider has under its own id, and whether an order of ours wants it."""
give_back = Step("payments.give_back", GiveMoneyBack, PaymentGivenBack, UNTIL_DONE, queue=Queue.PAYMENTS)
