"""How long accounts, sessions and mailed links hold, and what is signed with."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from runtime.settings.section import Section


class Auth(Section):
    """Accounts, passwords and tokens: `docs/identity.md`."""

    signing_key_file: Path = Path(".sutler/signing-key.pem")
    """Ed25519 or P-256 private keys (PEM) that sign the tokens; made on first use outside production."""
    issuer: str = "sutler"
    """Who has signed a token, as the token says; others' are refused."""
    access_token_seconds: Annotated[int, Field(ge=60)] = 900
    """How long an access token is good."""
    refresh_token_seconds: Annotated[int, Field(ge=3600)] = 30 * 24 * 3600
    """How long somebody stays signed in without coming back."""
    session_days: Annotated[int, Field(ge=1)] = 90
    """How long somebody stays signed in at most, however often they come back."""
    verification_hours: Annotated[int, Field(ge=1)] = 72
    """How long a new account may stay unverified before its e-mail and username are free again."""
    reminder_hours: Annotated[int, Field(ge=1)] = 24
    """How long after registration an account that was not verified is reminded of it."""
    reset_minutes: Annotated[int, Field(ge=5)] = 60
    """How long a mailed link to choose a new password works."""
    invitation_hours: Annotated[int, Field(ge=1)] = 72
    """How long a mailed invitation to the staff works."""
    sealing_key_file: Path = Path(".sutler/sealing-key")
    """Seals the secrets of second factors: 32 bytes in base64, one key a line; made on first use outside production."""
    staff_needs_second_factor: bool | None = None
    """Whether staff without a second factor are let in as customers only; unset, as in production and nowhere else."""
    email_change_hours: Annotated[int, Field(ge=1)] = 24
    """How long both mailboxes have to agree to a new e-mail address."""
    stolen_passwords_url: str = ""
    """Who is asked whether a new password was stolen: ``https://api.pwnedpasswords.com``, or what answers like it.
    Empty, nobody is."""
    stolen_passwords_seconds: Annotated[float, Field(gt=0, le=10)] = 1.0
    """How long whoever chooses a password waits for that; then it is judged without."""
