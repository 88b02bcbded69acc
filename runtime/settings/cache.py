"""How Valkey is reached, and what is kept at hand."""

from typing import Annotated

from pydantic import Field, SecretStr

from runtime.settings.section import Section


class Cache(Section):
    """The shop's Valkey or Redis, and what is kept of the catalogue in memory."""

    url: SecretStr = SecretStr("redis://127.0.0.1:63799/0")
    """Valkey or Redis. All it holds may vanish at any moment."""
    prefix: str = "sutler:"
    """Put before every key, so that shops can share a server."""
    product_seconds: Annotated[int, Field(ge=1)] = 3600
    """How long a product is kept at most; what changes is thrown away at once."""
    user_seconds: Annotated[int, Field(ge=1)] = 300
    """How long a profile is kept at most; what changes is thrown away at once."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 1.0
    """How long an answer is waited for; then it is asked once more."""
    breaker_failures: Annotated[int, Field(ge=1)] = 3
    """After so many questions in a row that were not answered, it is left alone for a moment."""
    breaker_seconds: Annotated[float, Field(gt=0)] = 1.0
    """That moment; then one request tries, and the others go on without it until that one was answered."""
    memory_megabytes: Annotated[int, Field(ge=1)] = 128
    """What one API process keeps of the catalogue in its own memory, at most."""
