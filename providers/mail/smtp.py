"""Mail by SMTP, over connections that are kept between mails."""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, parseaddr
from pathlib import Path

import aiosmtplib

from domain.notifications import Mail, MailTls
from providers.mail.base import MailNotAcceptedError, NoSuchMailboxError

FIRST_PERMANENT_REPLY = 500
MOST_IDLE = 4
"""Connections kept for the next mails; greeting and TLS cost more than a mail."""


class SmtpMailer:
    """Hands mails to one SMTP server. Over TLS only to one whose certificate is in its name and from a trusted CA."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        sender: str,
        username: str | None = None,
        password: str | None = None,
        tls: MailTls = MailTls.OFFERED,
        ca_file: Path | None = None,
        timeout_seconds: float = 8.0,
    ) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._username = username
        self._password = password
        self._tls = tls
        self._trusted = ssl.create_default_context(cafile=ca_file)
        self._timeout_seconds = timeout_seconds
        self._idle: list[aiosmtplib.SMTP] = []

    async def send(self, mail: Mail) -> None:
        # The library's own errors quote the recipient, so they end here.
        try:
            await self._hand_over(mail.to, self._message(mail))
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            if min(codes) >= FIRST_PERMANENT_REPLY:
                raise NoSuchMailboxError(f"SMTP {codes[0]}") from None
            raise MailNotAcceptedError(f"SMTP {codes[0]}") from None
        except aiosmtplib.SMTPResponseException as error:
            raise MailNotAcceptedError(f"SMTP {error.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:  # a TimeoutError is an OSError
            raise MailNotAcceptedError(type(error).__name__) from None

    async def aclose(self) -> None:
        while self._idle:
            await _say_goodbye(self._idle.pop())

    async def _hand_over(self, to: str, message: bytes) -> None:
        async with asyncio.timeout(self._timeout_seconds):
            server = await self._connected()
            try:
                await server.sendmail(parseaddr(self._sender)[1], [to], message)
            except BaseException:
                server.close()
                raise
        if len(self._idle) < MOST_IDLE:
            self._idle.append(server)
        else:
            await _say_goodbye(server)

    async def _connected(self) -> aiosmtplib.SMTP:
        """A connection that was kept and still answers, or a new one."""
        while self._idle:
            kept = self._idle.pop()
            try:
                await kept.rset()
            except (aiosmtplib.SMTPException, OSError):
                kept.close()
            else:
                return kept
        server = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            use_tls=self._tls is MailTls.IMPLICIT,
            start_tls={MailTls.OFFERED: None, MailTls.STARTTLS: True, MailTls.IMPLICIT: False}[self._tls],
            tls_context=self._trusted,
            timeout=self._timeout_seconds,
        )
        await server.connect()
        return server

    def _message(self, mail: Mail) -> bytes:
        # The old classes of the standard library take a third of the time of the new ones; what these check beyond,
        # line breaks in headers, is checked here.
        message = MIMEMultipart("alternative")
        headers = {
            "From": self._sender,
            "To": mail.to,
            "Subject": mail.subject if mail.subject.isascii() else Header(mail.subject, "utf-8").encode(),
            "Date": format_datetime(datetime.now(UTC)),
            # The same for every repetition, so that a mail that was sent twice can be recognised as one.
            "Message-ID": f"<{mail.key.replace(':', '.')}@{self._domain}>",
            "Auto-Submitted": "auto-generated",  # no out-of-office replies, please
        }
        if mail.unsubscribe is not None:  # RFC 8058: mail programs do it with one click
            headers |= {
                "List-Unsubscribe": f"<{mail.unsubscribe}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            }
        for name, value in headers.items():
            if "\r" in value or "\n" in value.replace("\n ", ""):  # a folded header continues with a space
                raise ValueError(f"a line break in the header {name}")
            message[name] = value
        message.attach(MIMEText(mail.text, "plain", "utf-8"))
        message.attach(MIMEText(mail.html, "html", "utf-8"))
        return message.as_bytes()

    @property
    def _domain(self) -> str:
        return parseaddr(self._sender)[1].rpartition("@")[2]


async def _say_goodbye(server: aiosmtplib.SMTP) -> None:
    """How the goodbye goes does not matter: what was accepted is accepted."""
    with suppress(aiosmtplib.SMTPException, OSError):
        await server.quit(timeout=1)
    server.close()
