"""A mailbox for everybody: takes any mail, keeps it, shows it."""

import asyncio
import email
import email.policy
from email.message import EmailMessage
from typing import Any

import msgspec
from aiosmtpd.smtp import SMTP, Envelope, Session

from sandbox import clock
from sandbox.faults import Faults, hits
from sandbox.store import Store

MAX_BYTES = 10 * 1024 * 1024


class Mailbox:
    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, sender: str, recipients: list[str], message: bytes) -> None:
        """Keeps a mail as it came: it is read only when somebody asks, which is rare."""
        with self._store.transaction():
            mail = self._store.write(
                "INSERT INTO mails (sender, recipients, message, at) VALUES (?, ?, ?, ?)",
                sender,
                msgspec.json.encode(recipients),
                message,
                clock.timestamp(),
            )
            for recipient in {recipient.lower() for recipient in recipients}:
                self._store.write("INSERT INTO mail_recipients (address, mail) VALUES (?, ?)", recipient, mail)

    def letters(self, to: str | None = None, after: int = 0, limit: int = -1) -> list[dict[str, Any]]:
        """What was sent, oldest first, to one address or to all."""
        sql = "SELECT id, sender, recipients, message, at FROM mails WHERE id > ?"
        if to:
            sql += " AND id IN (SELECT mail FROM mail_recipients WHERE address = ?)"
        found = self._store.all(f"{sql} ORDER BY id LIMIT ?", *([after, to.lower(), limit] if to else [after, limit]))
        return [_letter(*row) for row in found]

    def clear(self) -> None:
        with self._store.transaction():
            self._store.write("DELETE FROM mails")
            self._store.write("DELETE FROM mail_recipients")


class Doorman:
    """Answers SMTP and hands what was said to the mailbox."""

    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self._mailbox = mailbox
        self._faults = faults

    def __call__(self) -> SMTP:
        # The host name is given because looking it up would block the loop on every connection.
        return SMTP(self, hostname="sandbox", ident="Sutler sandbox", enable_SMTPUTF8=True, data_size_limit=MAX_BYTES)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802  aiosmtpd's
        """The mail is kept before it is acknowledged."""
        faults = self._faults.plan.mail
        if faults.latency_ms:
            await asyncio.sleep(faults.latency_ms / 1000)
        if hits(faults.error_rate):
            return "451 4.3.0 Requested action aborted: error in processing"
        content = envelope.original_content or b""
        self._mailbox.keep(envelope.mail_from or "", [str(to) for to in envelope.rcpt_tos], content)
        return "250 2.0.0 OK"


def _letter(mail: int, sender: str, recipients: bytes, message: bytes, at: str) -> dict[str, Any]:
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    return {
        "id": mail,
        "from": str(parsed["From"] or sender),
        "to": msgspec.json.decode(recipients),
        "subject": str(parsed["Subject"] or ""),
        "text": _body(parsed, "plain"),
        "html": _body(parsed, "html"),
        "message_id": str(parsed["Message-ID"] or ""),
        "headers": {name: str(value) for name, value in parsed.items()},
        "at": at,
    }


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    if part is None:
        return None
    return str(part.get_content()).replace("\r\n", "\n")
