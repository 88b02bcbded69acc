"""What a story may ask about accounts."""

from tests.replay.yesterday.domain.customers import AccountState, Customer
from tests.replay.yesterday.workflows.steps.patience import ONE_TRANSACTION_UNTIL_DONE
from tests.replay.yesterday.workflows.steps.step import Step

look_up = Step("customers.look_up", Customer, AccountState, ONE_TRANSACTION_UNTIL_DONE)

activate = Step("customers.activate", Customer, AccountState, ONE_TRANSACTION_UNTIL_DONE)
"""The owner of the e-mail address has shown up: active, or gone when it was too late."""

expire = Step("customers.expire", Customer, AccountState, ONE_TRANSACTION_UNTIL_DONE)
"""Free the e-mail and the username of an account that nobody verified: gone, or active when somebody did after all."""
