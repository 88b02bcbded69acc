"""The signing key and what it signs."""

import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from domain.customers import Role
from domain.errors import Refusal
from runtime.keys import SigningKey, SigningKeyError, signing_key
from runtime.tokens import AccessClaims, ForgedTokenError, Tokens

CLAIMS = AccessClaims(user_id=uuid4(), role=Role.OPERATOR, session_id=uuid4())


def tokens_of(key: SigningKey) -> Tokens:
    return Tokens(key=key, issuer="sutler", access_seconds=900, verification_hours=72)


@pytest.fixture
def tokens() -> Tokens:
    return tokens_of(SigningKey(Ed25519PrivateKey.generate()))


def access(tokens: Tokens, *, now: datetime | None = None) -> str:
    return tokens.access(CLAIMS, token_id=uuid4(), now=now or datetime.now(UTC))


def test_an_access_token_says_whose_it_is(tokens: Tokens) -> None:
    assert tokens.read_access(access(tokens)) == CLAIMS


def test_anybody_can_check_an_access_token_with_the_published_key(tokens: Tokens) -> None:
    token = access(tokens)
    key = jwt.PyJWKSet.from_dict(tokens.key.jwks)[jwt.get_unverified_header(token)["kid"]]

    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="access", issuer="sutler")

    assert claims["sub"] == str(CLAIMS.user_id)
    assert claims["role"] == "operator"
    assert claims["sid"] == str(CLAIMS.session_id)
    assert claims["exp"] - claims["iat"] == 900
    assert UUID(claims["jti"])


def test_the_published_key_is_not_the_private_one(tokens: Tokens) -> None:
    [key] = tokens.key.jwks["keys"]
    assert key.keys() == {"kty", "crv", "use", "alg", "kid", "x"}


def test_an_expired_access_token_is_refused(tokens: Tokens) -> None:
    with pytest.raises(Refusal, match="expired"):
        tokens.read_access(access(tokens, now=datetime.now(UTC) - timedelta(seconds=901)))


def test_an_access_token_of_another_key_is_refused(tokens: Tokens) -> None:
    other = tokens_of(SigningKey(Ed25519PrivateKey.generate()))
    with pytest.raises(Refusal, match="unauthenticated"):
        tokens.read_access(access(other))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256"])
def test_a_token_cannot_choose_how_it_is_checked(tokens: Tokens, algorithm: str) -> None:
    claims = jwt.decode(access(tokens), options={"verify_signature": False})
    key = {"none": None, "HS256": tokens.key.jwks["keys"][0]["x"], "ES256": ec.generate_private_key(ec.SECP256R1())}
    forged = jwt.encode(claims, key[algorithm], algorithm=algorithm)
    with pytest.raises(Refusal, match="unauthenticated"):
        tokens.read_access(forged)


def test_one_kind_of_token_does_not_pass_for_another(tokens: Tokens) -> None:
    with pytest.raises(Refusal, match="unauthenticated"):
        tokens.read_access(tokens.verification(CLAIMS.user_id, datetime.now(UTC)))
    with pytest.raises(ForgedTokenError):
        tokens.read_verification(access(tokens))


@pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "é", "eyJhbGciOiJFZERTQSJ9..", "\ud800"])
def test_what_is_no_token_is_refused_as_one(tokens: Tokens, garbage: str) -> None:
    with pytest.raises(Refusal, match="unauthenticated"):
        tokens.read_access(garbage)
    with pytest.raises(ForgedTokenError):
        tokens.read_verification(garbage)


def test_the_verification_of_an_account_is_the_same_whenever_it_is_made(tokens: Tokens) -> None:
    user_id = uuid4()
    now = datetime.now(UTC)
    first = tokens.verification(user_id, now)
    assert tokens.verification(user_id, now.astimezone(UTC)) == first
    assert tokens.read_verification(first) == user_id


def test_a_verification_ends_72_hours_after_the_account_was_made(tokens: Tokens) -> None:
    now = datetime.now(UTC)
    assert tokens.read_verification(tokens.verification(uuid4(), now - timedelta(hours=71, minutes=59)))
    with pytest.raises(Refusal, match="token_expired"):
        tokens.read_verification(tokens.verification(uuid4(), now - timedelta(hours=72)))


def test_a_key_is_made_on_first_use_for_its_owner_only_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "signing-key.pem"

    first, second = signing_key(file, may_be_made=True), signing_key(file, may_be_made=True)

    assert first.kid == second.kid
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["signing-key.pem"]


def test_processes_that_race_for_the_first_use_share_one_key(tmp_path: Path) -> None:
    file = tmp_path / "signing-key.pem"
    code = (
        "import sys; from pathlib import Path; from runtime.keys import signing_key; sys.stdin.read(); "
        "print(signing_key(Path(sys.argv[1]), may_be_made=True).kid)"
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

    assert kids == {signing_key(file, may_be_made=False).kid}


def test_in_production_a_missing_key_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match="APP_AUTH__SIGNING_KEY_FILE"):
        signing_key(tmp_path / "signing-key.pem", may_be_made=False)
    assert list(tmp_path.iterdir()) == []


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "signing-key.pem"
    file.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(SigningKeyError, match="not an Ed25519"):
        signing_key(file, may_be_made=True)
    file.write_text("nonsense")
    with pytest.raises(SigningKeyError, match="cannot be read"):
        signing_key(file, may_be_made=True)
