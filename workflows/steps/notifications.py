"""What a story may tell people by mail. Asked twice, each sends one mail. Letters about orders go by the mailbox."""

from domain.customers import Customer
from domain.notifications import MailOutcome
from workflows.steps.patience import A_DAY_OF_TRIES
from workflows.steps.step import Step

verification = Step("notifications.verification", Customer, MailOutcome, A_DAY_OF_TRIES)
"""The link that makes an account active."""

reminder = Step("notifications.reminder", Customer, MailOutcome, A_DAY_OF_TRIES)
"""The same link again, to somebody who has not followed it."""
