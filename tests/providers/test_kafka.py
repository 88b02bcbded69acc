"""A topic of Kafka: who is told, by whom, and that nothing is there twice."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from providers.events import Message, StreamAway
from providers.events.kafka import KafkaCluster, KafkaStream
from runtime.event_stream import stream_of
from runtime.settings import Settings
from tests.support.identities import an_identity
from tests.support.kafka import TOPIC, Front, broker, make_topic
from tests.support.processes import free_port

MESSAGES = [Message(position=n, key=f"order {n % 5}", body=b'{"id": %d}' % n, at_ms=1000 + n) for n in range(50)]


async def all_of(cluster: KafkaCluster) -> list[int]:
    """What is in the topic of one partition, up to the last message."""
    told: list[int] = []
    async for message in KafkaStream(cluster).read("beginning"):
        told.append(message["id"])
        if message["id"] == MESSAGES[-1].position:
            return told
    raise AssertionError("the topic ended")


async def test_what_is_sent_again_because_answers_were_lost_is_there_once_and_in_its_order(tmp_path: Path) -> None:
    port, own = free_port(), free_port()
    cluster = KafkaCluster(servers=f"127.0.0.1:{port}", topic=TOPIC, is_idempotent=True)
    stream, front = KafkaStream(cluster), Front(own, loses=3)
    with broker(own, tmp_path / "kafka.log", told_port=port):
        async with front.opened(port):
            await make_topic(cluster.connection, partitions=1)
            for begin in range(0, 50, 10):
                await stream.send(MESSAGES[begin : begin + 10])
            await stream.aclose()

            assert (front.loses, front.producers) == (0, 1)
            assert await all_of(cluster) == list(range(50))


async def test_brokers_are_told_over_tls_by_whoever_proves_who_they_are_and_by_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, own = free_port(), free_port()
    (tmp_path / "shop").mkdir()
    server, shop = an_identity(tmp_path, "127.0.0.1"), an_identity(tmp_path / "shop", "127.0.0.2")
    server.context.load_verify_locations(shop.certificate)
    server.context.verify_mode = ssl.CERT_REQUIRED
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "APP_EVENTS__KAFKA_PASSWORD").write_text("word\n")
    for name, value in {
        "APP_SECRETS_DIR": str(tmp_path / "secrets"),
        "APP_EVENTS__DESTINATION": "kafka",
        "APP_EVENTS__KAFKA_SERVERS": f"127.0.0.1:{port}",
        "APP_EVENTS__KAFKA_SECURITY": "SASL_SSL",
        "APP_EVENTS__KAFKA_USERNAME": "shop",
        "APP_EVENTS__KAFKA_CA_FILE": str(server.certificate),
        "APP_EVENTS__KAFKA_CERTIFICATE_FILE": str(shop.certificate),
        "APP_EVENTS__KAFKA_KEY_FILE": str(shop.key),
    }.items():
        monkeypatch.setenv(name, value)
    stream = stream_of(Settings())
    assert isinstance(stream, KafkaStream)
    cluster = stream.cluster

    with broker(own, tmp_path / "kafka.log", told_port=port):
        async with Front(own, users={"shop": "word"}).opened(port, server.context):
            await make_topic(cluster.connection, partitions=1)
            for stranger in (
                replace(cluster, security="SSL"),
                replace(cluster, security="SASL_PLAINTEXT"),
                replace(cluster, password="another"),
                replace(cluster, username="nobody"),
                replace(cluster, ca_file=None),
                replace(cluster, certificate_file=None),
                replace(cluster, ca_file=tmp_path / "not there"),
            ):
                with pytest.raises(StreamAway) as away:
                    await KafkaStream(stranger).send(MESSAGES)
                assert "word" not in str(away.value)

            await stream.send(MESSAGES)
            await stream.aclose()
            assert await all_of(cluster) == list(range(50))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_what_is_set_is_what_brokers_are_asked_with(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "APP_EVENTS__DESTINATION": "kafka",
        "APP_EVENTS__KAFKA_SERVERS": "one:9093,two:9093",
        "APP_EVENTS__KAFKA_SECURITY": "SASL_SSL",
        "APP_EVENTS__KAFKA_MECHANISM": mechanism,
        "APP_EVENTS__KAFKA_USERNAME": "shop",
        "APP_EVENTS__KAFKA_PASSWORD": "word",
    }.items():
        monkeypatch.setenv(name, value)
    stream = stream_of(Settings())
    assert isinstance(stream, KafkaStream)

    connection = stream.cluster.connection

    tls = connection.pop("ssl_context")
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert connection == {
        "bootstrap_servers": "one:9093,two:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "shop",
        "sasl_plain_password": "word",
    }
    assert stream.cluster.is_idempotent
    assert "word" not in repr(stream.cluster)
