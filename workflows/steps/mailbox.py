"""What a story may ask of the mailbox."""

from domain.notifications import Carried, Shift
from workflows.steps.patience import A_SHIFT
from workflows.steps.step import Step

carry = Step("mailbox.carry", Shift, Carried, A_SHIFT)
"""Letters that were asked for go to the mail server, for as long as the shift lasts."""
