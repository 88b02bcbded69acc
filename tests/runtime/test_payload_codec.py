"""What goes to the engine is encrypted, and keys can be changed while orders are on their way."""

import base64
import os
from dataclasses import replace

import pytest
from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent

from runtime.encryption_keys import keys_in
from runtime.payload_codec import Encryption, NotDecryptableError
from runtime.settings import Settings
from runtime.temporal import DATA_CONVERTER
from tests.support.production import PRODUCTION

OLD, NEW = os.urandom(32), os.urandom(32)
WORDS = Payload(metadata={"encoding": b"json/plain"}, data=b'{"order":"S-1001"}')


def written(**keys: bytes) -> str:
    return ",".join(f"{key_id}:{base64.b64encode(key).decode()}" for key_id, key in keys.items())


def test_a_payload_can_be_read_by_whoever_has_its_key_and_by_nobody_else() -> None:
    sealed = Encryption({"2026": OLD}).encrypted(WORDS)

    assert b"S-1001" not in sealed.SerializeToString()
    assert sealed.metadata == {"encoding": b"binary/encrypted", "key-id": b"2026"}
    assert Encryption({"2026": OLD}).decrypted(sealed) == WORDS
    with pytest.raises(NotDecryptableError, match="no key '2026'"):
        Encryption({"2027": NEW}).decrypted(sealed)
    with pytest.raises(NotDecryptableError, match="not encrypted with our key"):
        Encryption({"2026": NEW}).decrypted(sealed)


def test_a_payload_that_was_changed_is_refused() -> None:
    codec = Encryption({"2026": OLD})
    sealed = codec.encrypted(WORDS)
    sealed.data = sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])

    with pytest.raises(NotDecryptableError):
        codec.decrypted(sealed)


def test_the_newest_key_encrypts_and_older_ones_still_decrypt() -> None:
    before = Encryption(keys_in(written(a=OLD)))
    after = Encryption(keys_in(written(b=NEW, a=OLD)))

    assert after.decrypted(before.encrypted(WORDS)) == WORDS
    assert after.encrypted(WORDS).metadata["key-id"] == b"b"


def test_the_same_words_are_never_the_same_bytes() -> None:
    codec = Encryption({"2026": OLD})

    assert codec.encrypted(WORDS) != codec.encrypted(WORDS)


def test_what_was_never_encrypted_is_read_as_it_is() -> None:
    assert Encryption({"2026": OLD}).decrypted(WORDS) == WORDS


def test_every_payload_of_an_event_is_decrypted() -> None:
    codec = Encryption({"2026": OLD})
    event = HistoryEvent()
    started = event.workflow_execution_started_event_attributes
    started.input.payloads.append(codec.encrypted(WORDS))
    started.memo.fields["note"].CopyFrom(codec.encrypted(WORDS))
    event.user_metadata.summary.CopyFrom(codec.encrypted(WORDS))

    codec.decrypt_in_place(event)

    assert started.input.payloads[0] == started.memo.fields["note"] == event.user_metadata.summary == WORDS


async def test_the_converter_of_all_processes_reads_what_it_has_written() -> None:
    converter = replace(DATA_CONVERTER, payload_codec=Encryption({"2026": OLD}))

    sealed = await converter.encode([{"order": "S-1001"}])

    assert b"S-1001" not in sealed[0].data
    assert await converter.decode(sealed) == [{"order": "S-1001"}]


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param("a", id="no key"),
        pytest.param("a:short", id="a short key"),
        pytest.param(":" + "A" * 43 + "=", id="no id"),
        pytest.param(written(a=OLD) + "," + written(a=NEW), id="two of one id"),
    ],
)
def test_keys_that_are_none_refuse_to_start(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("APP_TEMPORAL__ENCRYPTION_KEYS", keys)

    with pytest.raises(ValidationError, match="APP_TEMPORAL__ENCRYPTION_KEYS") as refused:
        Settings()

    assert base64.b64encode(OLD).decode() not in str(refused.value.errors(include_input=False))


def test_production_without_keys_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("APP_TEMPORAL__ENCRYPTION_KEYS")

    with pytest.raises(ValidationError, match="production encrypts"):
        Settings()

    monkeypatch.setenv("APP_TEMPORAL__ENCRYPTION_KEYS", written(a=OLD))
    assert Settings().temporal.encryption_keys.get_secret_value() == written(a=OLD)
