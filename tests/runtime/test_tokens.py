"""The tokens that the shop signs."""

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.customers import Role
from domain.errors import Refusal
from runtime.keys import Keys, KeyState, SigningKey, new_key
from runtime.tokens import AccessClaims, ForgedTokenError, Tokens

UNCHECKED: Any = {"verify_signature": False}
CLAIMS = AccessClaims(user_id=uuid4(), role=Role.OPERATOR, session_id=uuid4())


def tokens_of(key: SigningKey) -> Tokens:
    return tokens_with(Keys((key,)))


def tokens_with(keys: Keys) -> Tokens:
    return Tokens(keys=lambda: keys, issuer="sutler", access_seconds=900, verification_hours=72)


KINDS: dict[str, Ed25519PrivateKey | ec.EllipticCurvePrivateKey] = {
    "EdDSA": Ed25519PrivateKey.generate(),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
}


@pytest.fixture(params=KINDS)
def tokens(request: pytest.FixtureRequest) -> Tokens:
    return tokens_of(SigningKey(KINDS[request.param], KeyState.CURRENT, datetime.now(UTC)))


def access(tokens: Tokens, *, now: datetime | None = None) -> str:
    return tokens.access(CLAIMS, token_id=uuid4(), now=now or datetime.now(UTC))


def test_an_access_token_says_whose_it_is(tokens: Tokens) -> None:
    assert tokens.read_access(access(tokens)) == CLAIMS


def test_anybody_can_check_an_access_token_with_the_published_key(tokens: Tokens) -> None:
    token = access(tokens)
    key = jwt.PyJWKSet.from_dict(tokens.keys().jwks)[jwt.get_unverified_header(token)["kid"]]

    claims = jwt.decode(token, key, algorithms=[key.algorithm_name], audience="access", issuer="sutler")

    assert claims["sub"] == str(CLAIMS.user_id)
    assert claims["role"] == "operator"
    assert claims["sid"] == str(CLAIMS.session_id)
    assert claims["exp"] - claims["iat"] == 900
    assert UUID(claims["jti"])


def test_the_published_key_is_not_the_private_one(tokens: Tokens) -> None:
    [key] = tokens.keys().jwks["keys"]
    assert key.keys() == {"kty", "crv", "use", "alg", "kid", "x", *(["y"] if key["kty"] == "EC" else [])}
    assert {len(base64.urlsafe_b64decode(key[name] + "=")) for name in ("x", "y") if name in key} == {32}


def test_an_expired_access_token_is_refused(tokens: Tokens) -> None:
    with pytest.raises(Refusal, match="expired"):
        tokens.read_access(access(tokens, now=datetime.now(UTC) - timedelta(seconds=901)))


def test_an_access_token_of_another_key_is_refused(tokens: Tokens) -> None:
    other = tokens_of(new_key(KeyState.CURRENT, datetime.now(UTC)))
    with pytest.raises(Refusal, match="unauthenticated"):
        tokens.read_access(access(other))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "EdDSA"])
def test_a_token_cannot_choose_how_it_is_checked(tokens: Tokens, algorithm: str) -> None:
    claims = jwt.decode(access(tokens), options=UNCHECKED)
    key: dict[str, Any] = {
        "none": None,
        "HS256": tokens.keys().jwks["keys"][0]["x"],
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": Ed25519PrivateKey.generate(),
    }
    forged = jwt.encode(claims, key[algorithm], algorithm=algorithm, headers={"kid": tokens.keys().current.kid})
    with pytest.raises(Refusal, match="unauthenticated"):
        tokens.read_access(forged)


def test_a_token_signed_with_the_text_of_the_public_key_is_refused(tokens: Tokens) -> None:
    """What a library that takes its algorithm from the token would fall for."""
    signer = tokens.keys().current
    public = signer.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, claims = ({"alg": "HS256", "typ": "JWT", "kid": signer.kid}, jwt.decode(access(tokens), options=UNCHECKED))
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (head, claims))
    mac = base64.urlsafe_b64encode(hmac.digest(public, signed, "sha256")).rstrip(b"=")
    with pytest.raises(Refusal, match="unauthenticated"):
        tokens.read_access(b".".join([signed, mac]).decode())


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
    user_id, now = uuid4(), datetime.now(UTC)
    first, second = tokens.verification(user_id, now), tokens.verification(user_id, now.astimezone(UTC))
    assert jwt.decode(first, options=UNCHECKED) == jwt.decode(second, options=UNCHECKED)
    assert tokens.read_verification(first) == tokens.read_verification(second) == user_id


def test_a_verification_ends_72_hours_after_the_account_was_made(tokens: Tokens) -> None:
    now = datetime.now(UTC)
    assert tokens.read_verification(tokens.verification(uuid4(), now - timedelta(hours=71, minutes=59)))
    with pytest.raises(Refusal, match="token_expired"):
        tokens.read_verification(tokens.verification(uuid4(), now - timedelta(hours=72)))
