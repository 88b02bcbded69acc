"""The tokens that the shop signs: who somebody is, and that a mail was read."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt

from domain.customers import Role
from domain.errors import Refusal
from runtime.keys import Keys

ACCESS = "access"
VERIFY_EMAIL = "verify-email"
DEVICE = "device"
UNSUBSCRIBE = "unsubscribe"

DEVICE_IS_KNOWN_FOR = timedelta(days=365)
UNSUBSCRIBING_LASTS = timedelta(days=3650)
"""Old mails are kept for long, and whoever wants no more of them must always be heard."""


class ForgedTokenError(Exception):
    """We have not made this token, or not for this."""


@dataclass(frozen=True, kw_only=True)
class AccessClaims:
    user_id: UUID
    role: Role
    session_id: UUID


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Makes and reads tokens. Each has an audience, so that one kind can never pass for another."""

    keys: Callable[[], Keys]
    """As they are now: another process may have rotated them."""
    issuer: str
    access_seconds: int
    verification_hours: int

    def access(self, claims: AccessClaims, *, token_id: UUID, now: datetime) -> str:
        return self.keys().sign(
            {
                "iss": self.issuer,
                "aud": ACCESS,
                "sub": str(claims.user_id),
                "role": str(claims.role),
                "sid": str(claims.session_id),
                "jti": str(token_id),
                "iat": int(now.timestamp()),
                "exp": int(now.timestamp()) + self.access_seconds,
            }
        )

    def read_access(self, token: str) -> AccessClaims:
        """Whose token it is; refuses ``unauthenticated`` for one that is not ours or no longer valid."""
        try:
            claims = self.keys().read(token, issuer=self.issuer, audience=ACCESS, require=["sid", "role"])
            return AccessClaims(user_id=UUID(claims["sub"]), role=Role(claims["role"]), session_id=UUID(claims["sid"]))
        except jwt.ExpiredSignatureError:
            raise Refusal("unauthenticated", "This access token has expired.") from None
        except (jwt.InvalidTokenError, ValueError):
            raise Refusal("unauthenticated", "This access token is not valid.") from None

    def device(self, account: str, device: str | None) -> str:
        """That an account has signed in from a device; the device keeps its name."""
        return self.keys().sign(
            {
                "iss": self.issuer,
                "aud": DEVICE,
                "sub": account,
                "jti": device or secrets.token_urlsafe(16),
                "exp": int((datetime.now(UTC) + DEVICE_IS_KNOWN_FOR).timestamp()),
            }
        )

    def read_device(self, token: str, account: str) -> str | None:
        """The name of the device, if this account has signed in from it."""
        try:
            claims = self.keys().read(token, issuer=self.issuer, audience=DEVICE, require=["jti"])
        except jwt.InvalidTokenError:
            return None
        return str(claims["jti"]) if claims["sub"] == account else None

    def unsubscribe(self, address_hash: bytes) -> str:
        """That whoever has it reads the mails of an address, which it does not name."""
        return self.keys().sign(
            {
                "iss": self.issuer,
                "aud": UNSUBSCRIBE,
                "sub": address_hash.hex(),
                "exp": int((datetime.now(UTC) + UNSUBSCRIBING_LASTS).timestamp()),
            }
        )

    def read_unsubscribe(self, token: str) -> bytes:
        """The hash of the address; raises ``ForgedTokenError`` for a token that is not ours."""
        try:
            claims = self.keys().read(token, issuer=self.issuer, audience=UNSUBSCRIBE, require=[])
            return bytes.fromhex(claims["sub"])
        except (jwt.InvalidTokenError, ValueError):
            raise ForgedTokenError from None

    def verification(self, user_id: UUID, created_at: datetime) -> str:
        """Good for as long, however often it is made: it need not be kept anywhere."""
        return self.keys().sign(
            {
                "iss": self.issuer,
                "aud": VERIFY_EMAIL,
                "sub": str(user_id),
                "exp": int(self.verifiable_until(created_at).timestamp()),
            }
        )

    def verifiable_until(self, created_at: datetime) -> datetime:
        return created_at.astimezone(UTC) + timedelta(hours=self.verification_hours)

    def read_verification(self, token: str) -> UUID:
        """Whose e-mail is verified; refuses ``token_expired``, raises ``ForgedTokenError`` for one that is not ours."""
        try:
            claims = self.keys().read(token, issuer=self.issuer, audience=VERIFY_EMAIL, require=[])
            return UUID(claims["sub"])
        except jwt.ExpiredSignatureError:
            raise Refusal("token_expired", "The time to confirm this e-mail address is over; register again.") from None
        except (jwt.InvalidTokenError, ValueError):
            raise ForgedTokenError from None
