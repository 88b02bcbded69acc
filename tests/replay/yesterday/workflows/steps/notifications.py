"""What a story may tell people by mail. Asked twice, each sends one mail. Letters about orders go by the mailbox."""

from tests.replay.yesterday.domain.customers import Customer
from tests.replay.yesterday.domain.notifications import MailOutcome
from tests.replay.yesterday.workflows.steps.patience import A_DAY_OF_TRIES
from tests.replay.yesterday.workflows.steps.step import Step

verification = Step("notifications.verification", Customer, MailOutcome, A_DAY_OF_TRIES)
"""The link that makes an account active."""

reminder = Step("notifications.reminder", Customer, MailOutcome, A_DAY_OF_TRIES)
"""The same link again, to somebody who has not followed it."""
