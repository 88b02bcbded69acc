"""Where others hear of what has happened: by a stream, or by webhooks."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from domain.events import Destination
from runtime.settings.section import Section


class Events(Section):
    """Where the rest of the company reads what has happened: `docs/events.md`."""

    destination: Destination = Destination.REDIS
    """`redis`: a stream; `kafka`: a topic; `none`: they are read from the API alone."""
    source: str = ""
    """Who tells them (CloudEvents' ``source``); empty, it is ``APP_SHOP__PUBLIC_URL``."""
    keep_days: Annotated[int, Field(ge=1)] = 30
    """How long an event can be read again from the API after it was published."""
    redis_url: SecretStr | None = None
    """A Redis or Valkey that forgets nothing; unset, the cache's, whose stream may vanish with all it holds."""
    stream: str = "sutler:events"
    """What the Redis stream is called."""
    max_length: Annotated[int, Field(ge=10_000)] = 1_000_000
    """About how many events the stream holds; the oldest make room for new ones."""
    kafka_servers: str = ""
    """Host and port of one or more brokers, with commas between."""
    kafka_topic: str = "sutler.events"
    """What the Kafka topic is called."""
    kafka_is_idempotent: bool = True
    """Whether brokers see to it that what is sent again is there once; only some development brokers cannot."""
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How brokers are spoken to: with TLS (``SSL``) or without, signing in (``SASL``) or not."""
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How the shop signs in there."""
    kafka_username: str | None = None
    """Who signs in there."""
    kafka_password: SecretStr | None = None
    """By which password."""
    kafka_ca_file: Path | None = None
    """Certificates of those who may vouch for the brokers, instead of those whom the system trusts (PEM)."""
    kafka_certificate_file: Path | None = None
    """The shop's own certificate and those above it (PEM), where brokers tell clients by it."""
    kafka_key_file: Path | None = None
    """The key of that certificate; unset, it is in the same file."""

    @model_validator(mode="after")
    def knows_its_brokers(self) -> Self:
        if self.destination is not Destination.KAFKA:
            return self
        security = f"APP_EVENTS__KAFKA_SECURITY={self.kafka_security}"
        if not self.kafka_servers:
            raise ValueError("APP_EVENTS__DESTINATION=kafka needs brokers: set APP_EVENTS__KAFKA_SERVERS")
        if self.kafka_security.startswith("SASL") and not (self.kafka_username and self.kafka_password):
            raise ValueError(f"{security} needs APP_EVENTS__KAFKA_USERNAME and APP_EVENTS__KAFKA_PASSWORD")
        if self.kafka_key_file and not self.kafka_certificate_file:
            raise ValueError("APP_EVENTS__KAFKA_KEY_FILE needs APP_EVENTS__KAFKA_CERTIFICATE_FILE")
        if not self.kafka_security.endswith("SSL") and (self.kafka_ca_file or self.kafka_certificate_file):
            raise ValueError(f"{security} speaks no TLS, and there are files for it")
        return self


class Webhooks(Section):
    """Where the shop tells other servers what has happened: `docs/webhooks.md`."""

    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 15.0
    """How long an endpoint may take for its answer."""
    keep_days: Annotated[int, Field(ge=1)] = 30
    """How long it can be seen, and asked for again, what was sent; what waits is kept until it is sent."""
    at_once: Annotated[int, Field(ge=1)] = 100
    """So many endpoints one worker waits for at the same time."""

    @property
    def kept(self) -> timedelta:
        return timedelta(days=self.keep_days)
