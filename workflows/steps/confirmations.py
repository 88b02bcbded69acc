"""What a story may ask about links that are mailed to be followed once."""

from domain.confirmations import CloseConfirmation, ConfirmationOutcome, MailLink
from domain.notifications import MailOutcome
from workflows.steps.patience import A_DAY_OF_TRIES, ONE_TRANSACTION_UNTIL_DONE
from workflows.steps.step import Step

mail = Step("confirmations.mail", MailLink, MailOutcome, A_DAY_OF_TRIES)
"""A mail with a link; the link's token is made on its way out and known to nobody but the reader."""

close = Step("confirmations.close", CloseConfirmation, ConfirmationOutcome, ONE_TRANSACTION_UNTIL_DONE)
"""What became of it: what nobody followed in time is expired from now on."""
