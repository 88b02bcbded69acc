"""Signing keys come and go, and nobody is signed out."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runtime.keys import Keys, KeyState, SigningKey, SigningKeyError, keys_in, new_key, one_at_a_time, write
from runtime.settings import Auth

KEYS_ARE_CACHED = timedelta(hours=1)
"""For so long others may keep what ``/.well-known/jwks.json`` told them; a key is published so long before it signs."""


def rotated(keys: Keys, now: datetime, *, tokens_last: timedelta, at_once: bool = False) -> Keys:
    """The next key signs from now on, and another one is made to follow it; nobody is signed out.

    A key that was never published signs nothing, unless it has to ``at_once``: then the first call only makes one.
    What was retired so long ago that none of its tokens is good any more is forgotten.
    """
    fresh = new_key(KeyState.NEXT, now)
    if keys.next is None and not at_once:
        return Keys((fresh, *keys.all))
    follower = keys.next or new_key(KeyState.NEXT, now)
    if now - follower.since < KEYS_ARE_CACHED and not at_once:
        ready = (follower.since + KEYS_ARE_CACHED).isoformat(timespec="minutes")
        raise SigningKeyError(
            f"The next key was published less than an hour ago; who checks our tokens may not know it before {ready}. "
            "Rotate then, or at once with --now."
        )
    retired = [key for key in keys.all if key.state is KeyState.RETIRED and now - key.since < tokens_last]
    return Keys(
        (
            fresh,
            replace(follower, state=KeyState.CURRENT, since=now),
            replace(keys.current, state=KeyState.RETIRED, since=now),
            *retired,
        )
    )


def without(keys: Keys, kid: str, now: datetime) -> Keys:
    """What the key has signed is worth nothing from now on. If it was the one that signs, the next one does."""
    left = tuple(key for key in keys.all if key.kid != kid)
    if len(left) == len(keys.all):
        raise SigningKeyError(f"There is no key {kid}; `sutler keys list` shows them.")
    if keys.current.kid != kid:
        return Keys(left)
    follower = keys.next or new_key(KeyState.NEXT, now)
    others = tuple(key for key in left if key.state is KeyState.RETIRED)
    return Keys((new_key(KeyState.NEXT, now), replace(follower, state=KeyState.CURRENT, since=now), *others))


def rotate(auth: Auth, *, at_once: bool) -> list[SigningKey]:
    """Rotate the keys of the file; what they are now."""
    lasts = max(timedelta(seconds=auth.access_token_seconds), timedelta(hours=auth.verification_hours))
    return _changed(auth.signing_key_file, lambda keys, now: rotated(keys, now, tokens_last=lasts, at_once=at_once))


def remove(auth: Auth, kid: str) -> list[SigningKey]:
    return _changed(auth.signing_key_file, lambda keys, now: without(keys, kid, now))


def listed(auth: Auth) -> list[SigningKey]:
    return list(keys_in(auth.signing_key_file).all)


def _changed(file: Path, change: Callable[[Keys, datetime], Keys]) -> list[SigningKey]:
    with one_at_a_time(file):
        keys = change(keys_in(file), datetime.now(UTC))
        write(file, keys)
    return list(keys.all)
