"""The stream that events are carried to, as the settings name it."""

from domain.events import Destination
from providers.events import EventStream, RedisStream
from runtime.settings import Settings


def stream_of(settings: Settings) -> EventStream:
    """Raises ``ValueError`` where events are carried nowhere. Nothing connects before it is used."""
    events = settings.events
    match events.destination:
        case Destination.REDIS:
            url = events.redis_url or settings.cache.url
            return RedisStream(url.get_secret_value(), name=events.stream, max_length=events.max_length)
        case Destination.KAFKA:
            from providers.events.kafka import KafkaCluster, KafkaStream  # its client is large, and few need it

            return KafkaStream(
                KafkaCluster(
                    servers=events.kafka_servers,
                    topic=events.kafka_topic,
                    is_idempotent=events.kafka_is_idempotent,
                    security=events.kafka_security,
                    mechanism=events.kafka_mechanism,
                    username=events.kafka_username,
                    password=events.kafka_password.get_secret_value() if events.kafka_password else None,
                    ca_file=events.kafka_ca_file,
                    certificate_file=events.kafka_certificate_file,
                    key_file=events.kafka_key_file,
                )
            )
        case Destination.NONE:
            raise ValueError("APP_EVENTS__DESTINATION is none: events are read from the API alone")
