"""Secrets that have to be read again, such as those of authenticator apps, sealed before they are stored."""

import base64
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES, NONCE_BYTES = 32, 12


class SealingKeyError(Exception):
    """There is no usable key; the message says what to do."""


class Seal:
    """AES-256-GCM. The first key seals, all of them open: a new one is put before the old ones."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [AESGCM(key) for key in keys]

    def close(self, secret: bytes, about: bytes) -> bytes:
        """It opens only as what it is about: a row that is copied to another account is worth nothing."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._keys[0].encrypt(nonce, secret, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Raises ``SealingKeyError`` when no key fits, or when it is about something else."""
        for key in self._keys:
            with suppress(InvalidTag):
                return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
        raise SealingKeyError("None of the keys opens this; put the one back that has sealed it.")


def seal_with(file: Path, *, may_be_made: bool) -> Seal:
    """The keys in the file, one a line. When there is none, one is made if it may be."""
    if not file.exists():
        if not may_be_made:
            raise SealingKeyError(
                f"There is no key at {file}. Make one with `openssl rand -base64 32 > {file}`, readable for this user "
                "only, or point APP_AUTH__SEALING_KEY_FILE at yours."
            )
        _make(file)
    try:
        keys = [base64.b64decode(line, validate=True) for line in file.read_text().split()]
    except (OSError, ValueError) as error:
        raise SealingKeyError(f"The keys at {file} cannot be read: {error}") from error
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise SealingKeyError(f"Each line of {file} has to be 32 bytes in base64.")
    return Seal(keys)


def _make(file: Path) -> None:
    """It appears whole, and only the first of those who race to make it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
