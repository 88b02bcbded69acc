"""``Idempotency-Key`` as Stripe documents it: the first answer is the answer."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox import clock
from sandbox.errors import StripeError
from sandbox.forms import Pairs
from sandbox.store import Store

KEPT_SECONDS = 48 * 3600


class Idempotency:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: set[str] = set()
        store.write("DELETE FROM idempotency_keys WHERE at < ?", clock.now() - KEPT_SECONDS)

    @contextmanager
    def only_one(self, key: str | None) -> Iterator[None]:
        """Refuses a twin with 409 for as long as the first request with ``key`` is running."""
        if key is None:
            yield
            return
        if len(key) > 255:
            raise StripeError(400, "Idempotency keys have at most 255 characters.", type="idempotency_error")
        if key in self._running:
            raise StripeError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {key}. Please try again later.",
                type="idempotency_error",
                code="idempotency_key_in_use",
            )
        self._running.add(key)
        try:
            yield
        finally:
            self._running.discard(key)

    def first_answer(self, key: str, endpoint: str, pairs: Pairs) -> tuple[int, bytes] | None:
        """What this very request was answered before, if ``key`` was used; a 400 if it was used for another one."""
        row = self._store.one("SELECT endpoint, fingerprint, status, body FROM idempotency_keys WHERE key = ?", key)
        if row is None:
            return None
        first_endpoint, print_of_first, status, body = row
        if first_endpoint != endpoint:
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{endpoint}' vs '{first_endpoint}'). Try using a key other than '{key}' if you meant to execute a "
                "different request.",
                type="idempotency_error",
            )
        if print_of_first != fingerprint(pairs):
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
                type="idempotency_error",
            )
        return status, body

    def remember(self, key: str, endpoint: str, pairs: Pairs, status: int, body: bytes) -> None:
        """Keeps the first answer; part of the transaction that did the work."""
        self._store.write(
            "INSERT INTO idempotency_keys (key, endpoint, fingerprint, status, body, at) VALUES (?, ?, ?, ?, ?, ?)",
            key,
            endpoint,
            fingerprint(pairs),
            status,
            body,
            clock.now(),
        )


def fingerprint(pairs: Pairs) -> bytes:
    """The same for the same parameters, in whatever order they came."""
    digest = hashlib.sha256()
    for name, value in sorted(pairs):
        digest.update(f"{len(name)}:{name}={len(value)}:{value};".encode())
    return digest.digest()
