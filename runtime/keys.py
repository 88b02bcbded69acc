"""The shop's signing keys: pairs of which one signs every token, and those that are about to and no longer do.

All of them are in one file, so that one secret is carried to every machine. A file with a single PEM key, as openssl
makes it, is one that signs. Ours are Ed25519; an operator's may be of the curve P-256 as well.
"""

import base64
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fcntl import LOCK_EX, flock
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm


class SigningKeyError(Exception):
    """There is no usable signing key, or the keys do not allow what was asked; the message says what to do."""


class KeyState(StrEnum):
    NEXT = "next"
    """Published, so that everybody knows it when it begins to sign."""
    CURRENT = "current"
    RETIRED = "retired"
    """Signs nothing any more; what it has signed is good until its time is over."""


@dataclass(frozen=True)
class SigningKey:
    """Signs claims and checks signatures. The algorithm is the key's: a token cannot choose how it is checked."""

    private: Ed25519PrivateKey | EllipticCurvePrivateKey
    state: KeyState
    since: datetime
    """Since when it has been in this state."""

    @cached_property
    def public(self) -> Ed25519PublicKey | EllipticCurvePublicKey:
        return self.private.public_key()

    @cached_property
    def algorithm(self) -> str:
        return "EdDSA" if isinstance(self.private, Ed25519PrivateKey) else "ES256"

    @cached_property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public key."""
        canonical = json.dumps(self._members, sort_keys=True, separators=(",", ":"))
        return _base64url(hashlib.sha256(canonical.encode()).digest())

    @cached_property
    def jwk(self) -> dict[str, Any]:
        return {**self._members, "use": "sig", "alg": self.algorithm, "kid": self.kid}

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.private, algorithm=self.algorithm, headers={"kid": self.kid})

    @property
    def pem(self) -> str:
        key = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return f"{self.state} since {self.since.isoformat(timespec='seconds')}\n{key}"

    @cached_property
    def _members(self) -> dict[str, Any]:
        """What makes it this key and no other."""
        if isinstance(self.public, Ed25519PublicKey):
            return OKPAlgorithm.to_jwk(self.public, as_dict=True)
        return ECAlgorithm.to_jwk(self.public, as_dict=True)


@dataclass(frozen=True)
class Keys:
    """All keys of one moment."""

    all: tuple[SigningKey, ...]

    @cached_property
    def current(self) -> SigningKey:
        return next(key for key in self.all if key.state is KeyState.CURRENT)

    @cached_property
    def next(self) -> SigningKey | None:
        return next((key for key in self.all if key.state is KeyState.NEXT), None)

    @cached_property
    def jwks(self) -> dict[str, Any]:
        """What others need to check our tokens."""
        return {"keys": [key.jwk for key in self.all]}

    def sign(self, claims: dict[str, Any]) -> str:
        return self.current.sign(claims)

    def read(self, token: str, *, issuer: str, audience: str, require: list[str]) -> dict[str, Any]:
        """The claims of a token we signed for this audience; raises ``jwt.InvalidTokenError`` for any other."""
        kid = jwt.get_unverified_header(token).get("kid")
        signer = next((key for key in self.all if key.kid == kid), None)
        if signer is None:
            raise jwt.InvalidTokenError("This key is not one of ours.")
        return jwt.decode(
            token,
            signer.public,
            algorithms=[signer.algorithm],
            issuer=issuer,
            audience=audience,
            options={"require": ["iss", "aud", "sub", "exp", *require]},
        )


def new_key(state: KeyState, now: datetime) -> SigningKey:
    return SigningKey(Ed25519PrivateKey.generate(), state, now)


class KeyFile:
    """The file of the keys, read anew when it was changed: every process works with the keys that are in it now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int, int] | None = None
        self._keys: Keys | None = None

    def read(self) -> Keys:
        """Raises ``SigningKeyError`` when they cannot be read, unless they could be before."""
        try:
            stat = self._path.stat()
            version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if self._keys is None or version != self._version:
                self._keys, self._version = keys_in(self._path), version
        except (OSError, SigningKeyError) as error:
            if self._keys is None:
                raise SigningKeyError(f"The signing keys at {self._path} cannot be read: {error}") from error
        return self._keys


def signing_keys(file: Path, *, may_be_made: bool) -> KeyFile:
    """The keys in the file. When there is none, one is made if it may be; processes that race share the winner's."""
    if not file.exists():
        if not may_be_made:
            raise SigningKeyError(
                f"There is no signing key at {file}. Make one with `sutler keys make`, or point "
                "APP_AUTH__SIGNING_KEY_FILE at yours."
            )
        make(file)
    found = KeyFile(file)
    found.read()  # what cannot be read is noticed now
    return found


def make(file: Path) -> None:
    """A file with a key that signs and one that will; content when there is one already."""
    now = datetime.now(UTC)
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        _draft(file, [new_key(KeyState.CURRENT, now), new_key(KeyState.NEXT, now)]) as draft,
        suppress(FileExistsError),
    ):
        os.link(draft, file)


def write(file: Path, keys: Keys) -> None:
    """In one move, so that nobody ever reads half of it."""
    with _draft(file, keys.all) as draft:
        draft.replace(file)


@contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Two who change the keys do so one after the other."""
    with file.with_name(f".{file.name}.lock").open("w") as opened:
        flock(opened, LOCK_EX)
        yield


@contextmanager
def _draft(file: Path, keys: Iterable[SigningKey]) -> Iterator[Path]:
    """The keys in a file beside their place, readable for its owner alone."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write("\n".join(key.pem for key in keys))
        yield draft
    finally:
        draft.unlink(missing_ok=True)


ONE_KEY = re.compile(
    r"(?:^(?P<state>next|current|retired) since (?P<since>\S+)\n)?"
    r"(?P<pem>-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----.*?-----END (?P=kind)-----)",
    re.DOTALL | re.MULTILINE,
)


def keys_in(file: Path) -> Keys:
    """A key without a word about it is the one that signs."""
    found = [_key(file, match) for match in ONE_KEY.finditer(file.read_text())]
    signing = [key for key in found if key.state is KeyState.CURRENT]
    if len(signing) != 1:
        raise SigningKeyError(f"{file} has {len(signing)} keys that sign; it needs one.")
    return Keys(tuple(found))


def _key(file: Path, match: re.Match[str]) -> SigningKey:
    try:
        private = load_pem_private_key(match["pem"].encode(), password=None)
    except (ValueError, TypeError) as error:
        raise SigningKeyError(f"A signing key at {file} cannot be read: {error}") from error
    if not isinstance(private, Ed25519PrivateKey) and not (
        isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1)
    ):
        raise SigningKeyError(f"A signing key at {file} is neither an Ed25519 nor a P-256 private key.")
    if match["state"] is None:
        return SigningKey(private, KeyState.CURRENT, datetime.fromtimestamp(file.stat().st_mtime, UTC))
    return SigningKey(private, KeyState(match["state"]), datetime.fromisoformat(match["since"]))


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
