"""Signing keys: made once, kept in one file, rotated without signing anybody out."""

import base64
import hashlib
import json
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from api.identity import KeysOut
from cli import app
from domain.customers import Role
from domain.errors import Refusal
from runtime.keys import Keys, KeyState, SigningKey, SigningKeyError, keys_in, make, new_key, signing_keys, write
from runtime.rotation import rotated, without
from runtime.tokens import AccessClaims, Tokens

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TOKENS_LAST = timedelta(hours=72)


def first_keys() -> Keys:
    return Keys((new_key(KeyState.CURRENT, NOW - DAY), new_key(KeyState.NEXT, NOW - DAY)))


def tokens_with(keys: Keys) -> Tokens:
    return Tokens(keys=lambda: keys, issuer="sutler", access_seconds=900, verification_hours=72)


def a_token(keys: Keys) -> str:
    claims = AccessClaims(user_id=uuid4(), role=Role.CUSTOMER, session_id=uuid4())
    return tokens_with(keys).access(claims, token_id=uuid4(), now=datetime.now(UTC))


def states(keys: Keys) -> dict[str, KeyState]:
    return {key.kid: key.state for key in keys.all}


def test_a_rotation_lets_the_next_key_sign_and_makes_another_one_to_follow() -> None:
    before = first_keys()
    assert before.next

    after = rotated(before, NOW, tokens_last=TOKENS_LAST)

    assert after.current.kid == before.next.kid
    assert states(after)[before.current.kid] is KeyState.RETIRED
    assert after.next
    assert after.next.kid not in states(before)
    assert [key["kid"] for key in after.jwks["keys"]] == [key.kid for key in after.all]
    assert len(after.all) == 3


def test_nobody_is_signed_out_by_a_rotation() -> None:
    before = first_keys()
    token = a_token(before)
    after = rotated(before, NOW, tokens_last=TOKENS_LAST)

    assert tokens_with(after).read_access(token)
    assert tokens_with(before).read_access(a_token(after))  # a process that has not seen it yet knows the next key


def test_a_token_of_a_key_that_is_gone_is_refused() -> None:
    before = first_keys()
    token = a_token(before)
    for after in (
        without(before, before.current.kid, NOW),
        without(rotated(before, NOW, tokens_last=TOKENS_LAST), before.current.kid, NOW),
    ):
        with pytest.raises(Refusal, match="unauthenticated"):
            tokens_with(after).read_access(token)
        assert before.current.kid not in states(after)
        assert tokens_with(after).read_access(a_token(after))


def test_a_retired_key_is_forgotten_when_nothing_that_it_has_signed_is_good_any_more() -> None:
    first = first_keys()
    second = rotated(first, NOW, tokens_last=TOKENS_LAST)

    soon = rotated(second, NOW + TOKENS_LAST - HOUR, tokens_last=TOKENS_LAST)
    late = rotated(second, NOW + TOKENS_LAST, tokens_last=TOKENS_LAST)

    assert first.current.kid in states(soon)
    assert first.current.kid not in states(late)


def test_a_key_that_others_may_not_know_does_not_sign_yet() -> None:
    once = rotated(first_keys(), NOW, tokens_last=TOKENS_LAST)

    with pytest.raises(SigningKeyError, match="2026-11-25T13:00"):
        rotated(once, NOW + HOUR - timedelta(seconds=1), tokens_last=TOKENS_LAST)

    assert once.next
    assert rotated(once, NOW + HOUR, tokens_last=TOKENS_LAST).current.kid == once.next.kid
    assert rotated(once, NOW, tokens_last=TOKENS_LAST, at_once=True).current.kid == once.next.kid


def test_a_single_key_is_given_a_follower_first() -> None:
    single = Keys((new_key(KeyState.CURRENT, NOW - DAY),))

    after = rotated(single, NOW, tokens_last=TOKENS_LAST)

    assert after.current.kid == single.current.kid
    assert after.next
    at_once = rotated(single, NOW, tokens_last=TOKENS_LAST, at_once=True)
    assert at_once.current.kid != single.current.kid
    assert states(at_once)[single.current.kid] is KeyState.RETIRED


def test_a_key_that_nobody_has_is_not_removed() -> None:
    with pytest.raises(SigningKeyError, match="sutler keys list"):
        without(first_keys(), "unknown", NOW)


def test_keys_are_read_as_they_were_written_and_by_their_owner_alone(tmp_path: Path) -> None:
    file, keys = tmp_path / "signing-key.pem", rotated(first_keys(), NOW, tokens_last=TOKENS_LAST)

    write(file, keys)

    assert [(key.kid, key.state, key.since) for key in keys_in(file).all] == [
        (key.kid, key.state, key.since) for key in keys.all
    ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["signing-key.pem"]


def test_a_process_works_with_the_keys_that_are_in_the_file_now(tmp_path: Path) -> None:
    file = tmp_path / "signing-key.pem"
    opened = signing_keys(file, may_be_made=True)
    token, before = a_token(opened.read()), opened.read()

    write(file, rotated(before, datetime.now(UTC), tokens_last=TOKENS_LAST, at_once=True))

    assert before.next
    assert opened.read().current.kid == before.next.kid
    assert tokens_with(opened.read()).read_access(token)


def test_a_file_that_became_unreadable_changes_nothing_for_who_has_read_it(tmp_path: Path) -> None:
    file = tmp_path / "signing-key.pem"
    opened = signing_keys(file, may_be_made=True)
    before = opened.read()

    file.write_text("nonsense")

    assert opened.read() is before


P256 = ec.generate_private_key(ec.SECP256R1())
EC_PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


@pytest.mark.parametrize(
    ("key", "algorithm", "form", "before"),
    [
        (Ed25519PrivateKey.generate(), "EdDSA", PrivateFormat.PKCS8, b""),
        (P256, "ES256", PrivateFormat.PKCS8, b""),
        (P256, "ES256", PrivateFormat.TraditionalOpenSSL, b""),
        (P256, "ES256", PrivateFormat.TraditionalOpenSSL, EC_PARAMETERS),
    ],
    ids=["genpkey ed25519", "genpkey ec", "ecparam -noout", "ecparam"],
)
def test_a_key_as_openssl_makes_it_signs(
    tmp_path: Path, key: Any, algorithm: str, form: PrivateFormat, before: bytes
) -> None:
    file = tmp_path / "signing-key.pem"
    file.write_bytes(before + key.private_bytes(Encoding.PEM, form, NoEncryption()))

    keys = keys_in(file)

    [found] = keys.all
    assert found.state is KeyState.CURRENT
    assert found.public == key.public_key()
    token = a_token(keys)
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "kid": found.kid, "typ": "JWT"}
    assert tokens_with(keys).read_access(token)


def test_a_rotation_from_a_key_of_an_operator_to_ours_signs_nobody_out(tmp_path: Path) -> None:
    file = tmp_path / "signing-key.pem"
    theirs = Keys((SigningKey(P256, KeyState.CURRENT, NOW - DAY), new_key(KeyState.NEXT, NOW - DAY)))
    token = a_token(theirs)

    write(file, rotated(theirs, NOW, tokens_last=TOKENS_LAST))

    after = keys_in(file)
    assert (after.current.algorithm, [key["alg"] for key in after.jwks["keys"]]) == (
        "EdDSA",
        ["EdDSA", "EdDSA", "ES256"],
    )
    assert tokens_with(after).read_access(token)
    assert KeysOut.model_validate(after.jwks).model_dump() == after.jwks


def test_a_kid_is_the_thumbprint_of_its_key() -> None:
    """Of RFC 8037, A.3, and of RFC 7638's rules for a curve."""
    rfc = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    assert SigningKey(rfc, KeyState.CURRENT, NOW).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

    jwk = SigningKey(P256, KeyState.CURRENT, NOW).jwk
    told = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    assert base64.urlsafe_b64encode(hashlib.sha256(told.encode()).digest()).rstrip(b"=").decode() == jwk["kid"]


def test_the_command_lists_rotates_and_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, terminal = tmp_path / "signing-key.pem", CliRunner()
    monkeypatch.setenv("APP_AUTH__SIGNING_KEY_FILE", str(file))
    make(file)
    before = keys_in(file)
    assert before.next

    listed = terminal.invoke(app, ["keys", "list"])
    assert [line.split()[:2] for line in listed.output.splitlines()] == [
        [before.current.kid, "current"],
        [before.next.kid, "next"],
    ]
    for_programs = json.loads(terminal.invoke(app, ["keys", "list", "--json"]).output)
    assert for_programs == [
        {"kid": key.kid, "state": str(key.state), "since": key.since.isoformat()}
        for key in (before.current, before.next)
    ]
    too_early = terminal.invoke(app, ["keys", "rotate"])
    assert too_early.exit_code == 1
    assert keys_in(file).jwks == before.jwks
    assert terminal.invoke(app, ["keys", "rotate", "--now"]).exit_code == 0
    assert keys_in(file).current.kid == before.next.kid
    assert terminal.invoke(app, ["keys", "remove", before.current.kid]).exit_code == 0
    assert before.current.kid not in states(keys_in(file))
    assert "PRIVATE" not in listed.output


def test_the_command_removes_a_key_whose_id_begins_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "signing-key.pem"
    monkeypatch.setenv("APP_AUTH__SIGNING_KEY_FILE", str(file))
    dashed = next(key for key in (new_key(KeyState.RETIRED, NOW) for _ in count()) if key.kid.startswith("-"))
    write(file, Keys((*first_keys().all, dashed)))

    removed = CliRunner().invoke(app, ["keys", "remove", dashed.kid])

    assert removed.exit_code == 0, removed.output
    assert dashed.kid not in states(keys_in(file))


def test_a_key_is_made_on_first_use_for_its_owner_only_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "signing-key.pem"

    first, second = signing_keys(file, may_be_made=True).read(), signing_keys(file, may_be_made=True).read()

    assert first.jwks == second.jwks
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["signing-key.pem"]


def test_processes_that_race_for_the_first_use_share_one_key(tmp_path: Path) -> None:
    file = tmp_path / "signing-key.pem"
    code = (
        "import sys; from pathlib import Path; from runtime.keys import signing_keys; sys.stdin.read(); "
        "print(signing_keys(Path(sys.argv[1]), may_be_made=True).read().current.kid)"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin
        racer.stdin.close()
    kids = set()
    for racer in racers:
        assert racer.stdout
        with racer.stdout:
            kids.add(racer.stdout.read().strip())
        assert racer.wait(30) == 0

    assert kids == {signing_keys(file, may_be_made=False).read().current.kid}


def test_in_production_a_missing_key_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match="APP_AUTH__SIGNING_KEY_FILE"):
        signing_keys(tmp_path / "signing-key.pem", may_be_made=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256K1()), Ed448PrivateKey.generate()],
    ids=["P-384", "secp256k1", "Ed448"],
)
def test_a_key_of_another_kind_is_refused(tmp_path: Path, key: Any) -> None:
    file = tmp_path / "signing-key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SigningKeyError, match="neither an Ed25519 nor a P-256"):
        signing_keys(file, may_be_made=True).read()


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "signing-key.pem"
    file.write_text("nonsense")
    with pytest.raises(SigningKeyError, match="cannot be read"):
        signing_keys(file, may_be_made=True).read()
