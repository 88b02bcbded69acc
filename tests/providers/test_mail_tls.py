"""Mails go over TLS to the mail server that was meant, and to nobody who only says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP

from domain.notifications import MailTls
from providers.mail.base import MailNotAcceptedError
from providers.mail.smtp import SmtpMailer
from tests.providers.test_mail import MAIL, Server, listening, serving
from tests.support.identities import Identity, an_identity


@asynccontextmanager
async def over_tls(tls: MailTls, identity: Identity) -> AsyncIterator[Server]:
    server = Server()
    if tls is MailTls.IMPLICIT:
        async with listening(server, ssl=identity.context):
            yield server
    else:
        factory = lambda: SMTP(server, hostname="test", tls_context=identity.context, require_starttls=True)  # noqa: E731
        async with serving(server, factory):
            yield server


def mailer_to(server: Server, tls: MailTls, ca_file: Path | None = None) -> SmtpMailer:
    return SmtpMailer(host="127.0.0.1", port=server.port, sender="shop@example.com", tls=tls, ca_file=ca_file)


@pytest.mark.parametrize("tls", [MailTls.STARTTLS, MailTls.IMPLICIT, MailTls.OFFERED])
async def test_a_server_is_believed_only_when_its_ca_is_trusted(tls: MailTls, tmp_path: Path) -> None:
    identity = an_identity(tmp_path, "127.0.0.1")
    async with over_tls(tls, identity) as server:
        with pytest.raises(MailNotAcceptedError):
            await mailer_to(server, tls).send(MAIL)
        assert server.letters == []

        mailer = mailer_to(server, tls, identity.certificate)
        await mailer.send(MAIL)
        await mailer.aclose()

    [letter] = server.letters
    assert letter["Subject"] == "Hello"


@pytest.mark.parametrize("tls", [MailTls.STARTTLS, MailTls.IMPLICIT])
async def test_a_trusted_certificate_of_another_server_is_refused(tls: MailTls, tmp_path: Path) -> None:
    identity = an_identity(tmp_path, "127.0.0.2")
    async with over_tls(tls, identity) as server:
        with pytest.raises(MailNotAcceptedError):
            await mailer_to(server, tls, identity.certificate).send(MAIL)

    assert server.letters == []


@pytest.mark.parametrize("tls", [MailTls.STARTTLS, MailTls.IMPLICIT])
async def test_where_tls_is_demanded_nothing_is_said_to_a_server_without(tls: MailTls) -> None:
    async with listening(Server()) as server:
        with pytest.raises(MailNotAcceptedError):
            await mailer_to(server, tls).send(MAIL)

    assert server.letters == []
