"""Who carries mail."""

from typing import Protocol

from domain.notifications import Mail


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Returns when a server has taken responsibility for the mail; raises when none has."""
