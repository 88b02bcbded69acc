"""Mails about accounts, each sent once for its occasion.

What is promised: at least once, and in practice once. The row in ``letters`` is written right after the server has
taken the mail; only a worker that dies between the two sends it again, and then with the same Message-ID.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from db import customers, mailbox
from db.engine import Sessions
from domain.customers import AccountStatus, Customer
from domain.notifications import Mail, MailOutcome, Occasion, mail_key
from providers.mail.base import Mailer, NoSuchMailboxError
from providers.mail.letters import Letters, Recipient
from workflows.steps import notifications as steps


class NotificationActivities:
    """``link`` makes the address that verifies an account, and says until when it works."""

    def __init__(
        self,
        sessions: Sessions,
        mailer: Mailer,
        letters: Letters,
        *,
        link: Callable[[UUID, datetime], tuple[str, datetime]],
    ) -> None:
        self._sessions = sessions
        self._mailer = mailer
        self._letters = letters
        self._link = link

    @steps.verification.performed_by
    async def verification(self, customer: Customer) -> MailOutcome:
        return await self._send_link(Occasion.VERIFICATION, customer)

    @steps.reminder.performed_by
    async def reminder(self, customer: Customer) -> MailOutcome:
        return await self._send_link(Occasion.REMINDER, customer)

    async def _send_link(self, occasion: Occasion, customer: Customer) -> MailOutcome:
        key = mail_key(occasion, customer.user_id)
        async with self._sessions() as session:
            if await mailbox.was_sent(session, key):
                return MailOutcome.SENT_BEFORE
            user = await customers.by_id(session, customer.user_id)
        if user is None or user.status != AccountStatus.PENDING_VERIFICATION:
            return MailOutcome.NOBODY_TO_SEND_TO
        link, until = self._link(user.id, user.created_at)
        to = Recipient(email=user.email, username=user.username, language=user.language)
        mail = self._letters.about_account(occasion, key, to, link=link, until=until)
        return await self._send(mail, occasion, user.id)

    async def _send(self, mail: Mail, occasion: Occasion, about: UUID) -> MailOutcome:
        try:
            await self._mailer.send(mail)
        except NoSuchMailboxError:
            return MailOutcome.REFUSED
        async with self._sessions.begin() as session:
            await mailbox.note_sent(session, mail.key, occasion, about)
        return MailOutcome.SENT
