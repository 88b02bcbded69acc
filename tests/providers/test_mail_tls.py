"""Mails go over TLS to the mail server that was meant, and to nobody who only says so."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from domain.notifications import MailTls
from providers.mail.base import MailNotAcceptedError
from providers.mail.smtp import SmtpMailer
from tests.providers.test_mail import MAIL, Server, listening, serving


@dataclass
class Identity:
    """A self-signed certificate, which is its own CA, with its key."""

    certificate: Path
    context: ssl.SSLContext


def an_identity(folder: Path, address: str) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, secret)
    return Identity(pem, context)


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
