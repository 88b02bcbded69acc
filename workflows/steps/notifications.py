"""What a story may tell people by mail. Asked twice, each sends one mail."""

from domain.customers import Customer
from domain.notifications import AboutOrder, MailOutcome
from workflows.steps.patience import A_DAY_OF_TRIES, A_DAY_OF_TRIES_HERE
from workflows.steps.step import Step

verification = Step("notifications.verification", Customer, MailOutcome, A_DAY_OF_TRIES)
"""The link that makes an account active."""

reminder = Step("notifications.reminder", Customer, MailOutcome, A_DAY_OF_TRIES)
"""The same link again, to somebody who has not followed it."""

order_confirmed = Step("notifications.order_confirmed", AboutOrder, MailOutcome, A_DAY_OF_TRIES_HERE)
"""What was ordered, what it costs and where it goes."""
