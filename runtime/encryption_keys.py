"""The keys that payloads are encrypted with, as the environment has them."""

import base64

KEY_BYTES = 32


def keys_in(text: str) -> dict[str, bytes]:
    """``2026b:<base64>,2026a:<base64>``, the newest first; ``ValueError`` says what is wrong and repeats no key."""
    keys: dict[str, bytes] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key_id, colon, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not colon or not key_id or len(key) != KEY_BYTES:
            raise ValueError(
                f"each key is `id:base64`, of {KEY_BYTES} random bytes: `openssl rand -base64 {KEY_BYTES}`"
            )
        if key_id in keys:
            raise ValueError(f"the id {key_id!r} is there twice")
        keys[key_id] = key
    return keys
