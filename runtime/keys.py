"""The shop's signing key: one Ed25519 pair that every token is signed with."""

import base64
import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

ALGORITHM = "EdDSA"


class SigningKeyError(Exception):
    """There is no usable signing key; the message says what to do."""


@dataclass(frozen=True)
class SigningKey:
    """Signs claims and checks signatures. The algorithm is pinned: a token cannot choose how it is checked."""

    private: Ed25519PrivateKey

    @cached_property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()

    @cached_property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public key."""
        canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{self._x}"}}'
        return _base64url(hashlib.sha256(canonical.encode()).digest())

    @cached_property
    def jwks(self) -> dict[str, Any]:
        """What others need to check our tokens."""
        return {
            "keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": ALGORITHM, "kid": self.kid, "x": self._x}]
        }

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.private, algorithm=ALGORITHM, headers={"kid": self.kid})

    def read(self, token: str, *, issuer: str, audience: str, require: list[str]) -> dict[str, Any]:
        """The claims of a token we signed for this audience; raises ``jwt.InvalidTokenError`` for any other."""
        return jwt.decode(
            token,
            self.public,
            algorithms=[ALGORITHM],
            issuer=issuer,
            audience=audience,
            options={"require": ["iss", "aud", "sub", "exp", *require]},
        )

    @cached_property
    def _x(self) -> str:
        return _base64url(self.public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def signing_key(file: Path, *, may_be_made: bool) -> SigningKey:
    """The key in the file. When there is none, one is made if it may be; processes that race share the winner's."""
    if not file.exists():
        if not may_be_made:
            raise SigningKeyError(
                f"There is no signing key at {file}. Make one with `openssl genpkey -algorithm ed25519 -out {file}`, "
                "readable for this user only, or point APP_AUTH__SIGNING_KEY_FILE at yours."
            )
        _make(file)
    try:
        private = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise SigningKeyError(f"The signing key at {file} cannot be read: {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SigningKeyError(f"The signing key at {file} is not an Ed25519 private key.")
    return SigningKey(private)


def _make(file: Path) -> None:
    """Write a new key beside its place, then link it there: it appears whole, and only the first one does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(pem)
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
