"""What a story may ask of the mailbox."""

from tests.replay.yesterday.domain.notifications import Carried, Shift
from tests.replay.yesterday.workflows.steps.patience import A_SHIFT
from tests.replay.yesterday.workflows.steps.step import Step

carry = Step("mailbox.carry", Shift, Carried, A_SHIFT)
"""Letters that were asked for go to the mail server, for as long as the shift lasts."""
