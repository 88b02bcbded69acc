"""Tokens that mean nothing by themselves: 256 random bits, of which only a hash is stored."""

import hashlib
import secrets


def new_token() -> str:
    return secrets.token_urlsafe(32)


API_KEY_PREFIX = "sk_"


def new_api_key() -> str:
    """Tells people, and programs that look for leaked secrets, what it is."""
    return f"{API_KEY_PREFIX}{new_token()}"


def hash_of(token: str) -> bytes:
    """All that is stored of a token. It is random, so a fast hash is as good as a slow one."""
    return hashlib.sha256(token.encode()).digest()
