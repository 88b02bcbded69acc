"""What a story may ask about returns."""

from tests.replay.yesterday.domain.returns import DecideReturn, ReceiveReturn, ReturnState, SettleReturn
from tests.replay.yesterday.workflows.steps.patience import UNTIL_DONE
from tests.replay.yesterday.workflows.steps.step import Step

decide = Step("returns.decide", DecideReturn, ReturnState, UNTIL_DONE)
receive = Step("returns.receive", ReceiveReturn, ReturnState, UNTIL_DONE)
"""Goods back into the stock, and the money for them set aside."""
settle = Step("returns.settle", SettleReturn, ReturnState, UNTIL_DONE)
"""The money is on its way: nothing is left to do."""
