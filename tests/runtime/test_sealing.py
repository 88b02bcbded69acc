"""Secrets that are sealed before they are stored."""

import base64
import secrets
import stat
from pathlib import Path

import pytest

from runtime.sealing import Seal, SealingKeyError, seal_with


def test_what_was_sealed_opens_as_what_it_is_about_and_as_nothing_else() -> None:
    seal = Seal([secrets.token_bytes(32)])
    sealed = seal.close(b"secret", b"ada")

    assert seal.open(sealed, b"ada") == b"secret"
    assert b"secret" not in sealed
    assert seal.close(b"secret", b"ada") != sealed
    with pytest.raises(SealingKeyError):
        seal.open(sealed, b"grace")
    with pytest.raises(SealingKeyError):
        seal.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), b"ada")


def test_a_new_key_seals_and_the_old_one_still_opens() -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    sealed = Seal([old]).close(b"secret", b"ada")

    assert Seal([new, old]).open(sealed, b"ada") == b"secret"
    with pytest.raises(SealingKeyError):
        Seal([old]).open(Seal([new, old]).close(b"secret", b"ada"), b"ada")


def test_a_key_is_made_on_first_use_for_its_owner_only_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "sealing-key"

    sealed = seal_with(file, may_be_made=True).close(b"secret", b"ada")

    assert seal_with(file, may_be_made=True).open(sealed, b"ada") == b"secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["sealing-key"]


def test_in_production_a_missing_key_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(SealingKeyError, match="APP_AUTH__SEALING_KEY_FILE"):
        seal_with(tmp_path / "sealing-key", may_be_made=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "nonsense!", base64.b64encode(b"too short").decode()])
def test_what_is_no_key_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "sealing-key"
    file.write_text(content)
    with pytest.raises(SealingKeyError):
        seal_with(file, may_be_made=True)
