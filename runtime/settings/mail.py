"""Who takes the letters."""

from pathlib import Path

from pydantic import SecretStr

from domain.notifications import MailTls
from runtime.settings.section import Port, Section


class Mail(Section):
    """How the shop's letters leave: `docs/mail.md`."""

    host: str = "127.0.0.1"
    """The SMTP server that takes the shop's mail."""
    port: Port = 8025
    """Where that server listens."""
    username: str | None = None
    """Who signs in there; unset, nobody does."""
    password: SecretStr | None = None
    """By which password."""
    tls: MailTls = MailTls.OFFERED
    """`offered`: where the server offers it; `starttls`: it has to; `implicit`: from the first byte on (port 465)."""
    ca_file: Path | None = None
    """Certificates of those who may vouch for the server, instead of those whom the system trusts (PEM)."""
    sender: str = "Sutler <shop@example.com>"
    """Whom the mails come from."""
