"""What goes to the engine, encrypted: inputs, results, memos and summaries, but not ids and search attributes.

AES-256-GCM with a fresh nonce for each payload. A payload names the key that it was encrypted with, so that keys can be
changed while orders are on their way: the newest encrypts, all others still decrypt.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

ENCODING = b"binary/encrypted"
NONCE_BYTES = 12


class NotDecryptableError(Exception):
    """We have not encrypted this, or the key is not among ours; the workflow waits for a deploy that has it."""


class Encryption(PayloadCodec):
    """``keys`` by their ids, the newest first."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys

    @cached_property
    def _ciphers(self) -> dict[str, AESGCM]:
        return {key_id: AESGCM(key) for key_id, key in self._keys.items()}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self.encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self.decrypted(payload) for payload in payloads]

    def encrypted(self, payload: Payload) -> Payload:
        key_id, cipher = next(iter(self._ciphers.items()))
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + cipher.encrypt(nonce, payload.SerializeToString(), key_id.encode())
        return Payload(metadata={"encoding": ENCODING, "key-id": key_id.encode()}, data=sealed)

    def decrypted(self, payload: Payload) -> Payload:
        """What was never encrypted is as it was: histories may be older than the keys."""
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id = payload.metadata["key-id"].decode()
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise NotDecryptableError(f"There is no key {key_id!r} in APP_TEMPORAL__ENCRYPTION_KEYS.")
        nonce, sealed = payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, key_id.encode()))
        except InvalidTag:
            raise NotDecryptableError(f"A payload was not encrypted with our key {key_id!r}, or was changed.") from None

    def decrypt_in_place(self, message: Message) -> None:
        """Every payload anywhere in the message, such as a history."""
        for payload in payloads_in(message):
            payload.CopyFrom(self.decrypted(payload))


def payloads_in(message: Any) -> Iterator[Payload]:
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = list(value.values()) if field.message_type.fields_by_name["value"].message_type else []
        else:
            inner = list(value) if hasattr(value, "__len__") else [value]
        for part in inner:
            yield from payloads_in(part)
