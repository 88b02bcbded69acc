"""What a story may ask about refunds."""

from tests.replay.yesterday.domain.refunds import PaymentRefund, RefundMoney, RefundState, SettleRefund
from tests.replay.yesterday.workflows.names import Queue
from tests.replay.yesterday.workflows.steps.patience import ONE_TRANSACTION_UNTIL_DONE, UNTIL_DONE
from tests.replay.yesterday.workflows.steps.step import Step

pay_back = Step("refunds.pay_back", RefundMoney, PaymentRefund, UNTIL_DONE, queue=Queue.PAYMENTS)
"""Ask the provider to send the money back, always with the refund's own key."""

settle = Step("refunds.settle", SettleRefund, RefundState, ONE_TRANSACTION_UNTIL_DONE)
"""Write down how it ended: the amount is refunded, or free to be refunded in another way."""
