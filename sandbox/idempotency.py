"""``Idempotency-Key`` as Stripe documents it: the first answer is the answer."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox import clock
from sandbox.errors import StripeError
from sandbox.forms import Pairs
from sandbox.store import Store

KEPT_SECONDS = 48 * 3600


@dataclass(frozen=True, slots=True)
class Claim:
    """What a key was used for."""

    key: str
    endpoint: str
    pairs: Pairs


class Idempotency:
    """The keys of two days. A request without a key makes no claim, and nothing is kept of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: set[str] = set()
        store.write("DELETE FROM idempotency_keys WHERE at < ?", clock.now() - KEPT_SECONDS)

    @contextmanager
    def only_one(self, claim: Claim | None) -> Iterator[None]:
        """Refuses a twin with 409 for as long as the first request with its key is running."""
        if claim is None:
            yield
            return
        if len(claim.key) > 255:
            raise StripeError(400, "Idempotency keys have at most 255 characters.", type="idempotency_error")
        if claim.key in self._running:
            raise StripeError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {claim.key}. Please try again later.",
                type="idempotency_error",
                code="idempotency_key_in_use",
            )
        self._running.add(claim.key)
        try:
            yield
        finally:
            self._running.discard(claim.key)

    def first_answer(self, claim: Claim | None) -> tuple[int, bytes] | None:
        """What this very request was answered before, if its key was used; a 400 if it was used for another one."""
        if claim is None:
            return None
        row = self._store.one(
            "SELECT endpoint, fingerprint, status, body FROM idempotency_keys WHERE key = ?", claim.key
        )
        if row is None:
            return None
        first_endpoint, first_fingerprint, status, body = row
        if first_endpoint != claim.endpoint:
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{claim.endpoint}' vs '{first_endpoint}'). Try using a key other than '{claim.key}' if you meant "
                "to execute a different request.",
                type="idempotency_error",
            )
        if first_fingerprint != fingerprint(claim.pairs):
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{claim.key}' if you meant to execute a different request.",
                type="idempotency_error",
            )
        return status, body

    def remember(self, claim: Claim | None, status: int, body: bytes) -> None:
        """Keeps the first answer; part of the transaction that did the work."""
        if claim is None:
            return
        self._store.write(
            "INSERT INTO idempotency_keys (key, endpoint, fingerprint, status, body, at) VALUES (?, ?, ?, ?, ?, ?)",
            claim.key,
            claim.endpoint,
            fingerprint(claim.pairs),
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
