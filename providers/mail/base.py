"""Who carries mail."""

from typing import Protocol

from domain.notifications import Mail


class NoSuchMailboxError(Exception):
    """The receiving side refuses the address for good."""


class MailNotAcceptedError(Exception):
    """No server has taken the mail. The text names no address: it is kept in histories."""


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Returns when a server has taken responsibility for the mail; raises one of the above when none has."""
