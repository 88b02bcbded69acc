"""What a story may ask about people who want to be forgotten."""

from domain.erasures import ErasePerson, ErasureState
from workflows.steps.patience import ONE_TRANSACTION_UNTIL_DONE
from workflows.steps.step import Step

look_up = Step("erasures.look_up", ErasePerson, ErasureState, ONE_TRANSACTION_UNTIL_DONE)
"""Was it asked for, and what is still on its way?"""

erase = Step("erasures.erase", ErasePerson, ErasureState, ONE_TRANSACTION_UNTIL_DONE)
"""Take the person out of every table, in one transaction; content when that was done before."""
