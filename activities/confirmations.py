"""Links that are mailed to be followed once.

What is promised: at least one mail, and in practice one. A mail that is tried again carries a fresh token; all tokens
of one confirmation end with the first click.
"""

from collections.abc import Callable

from db import confirmations, mailbox
from db.engine import Sessions
from domain.confirmations import CloseConfirmation, ConfirmationOutcome, MailLink
from domain.notifications import MailOutcome, Occasion, mail_key
from providers.mail.base import Mailer, NoSuchMailboxError
from providers.mail.letters import Letters, Recipient
from workflows.steps import confirmations as steps


class ConfirmationActivities:
    """``link`` makes the address that a token is put into."""

    def __init__(
        self, sessions: Sessions, mailer: Mailer, letters: Letters, *, link: Callable[[Occasion, str], str]
    ) -> None:
        self._sessions = sessions
        self._mailer = mailer
        self._letters = letters
        self._link = link

    @steps.mail.performed_by
    async def mail(self, request: MailLink) -> MailOutcome:
        key = mail_key(request.occasion, request.confirmation_id)
        async with self._sessions.begin() as session:
            if await mailbox.was_sent(session, key):
                return MailOutcome.SENT_BEFORE
            made = await confirmations.make_link(session, request.confirmation_id, request.occasion)
        if made is None:
            return MailOutcome.NOBODY_TO_SEND_TO
        to = Recipient(email=made.email, username=made.username, language=made.language)
        link = self._link(request.occasion, made.token)
        try:
            await self._mailer.send(
                self._letters.about_account(request.occasion, key, to, link=link, until=made.expires_at)
            )
        except NoSuchMailboxError:
            return MailOutcome.REFUSED
        async with self._sessions.begin() as session:
            await mailbox.note_sent(session, key, request.occasion, request.confirmation_id)
        return MailOutcome.SENT

    @steps.close.performed_by
    async def close(self, request: CloseConfirmation) -> ConfirmationOutcome:
        async with self._sessions.begin() as session:
            return await confirmations.close(session, request.confirmation_id)
