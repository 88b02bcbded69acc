"""Events as a topic of Kafka, those of an order in one partition."""

import asyncio
import json
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from providers.events.base import CONTENT_TYPE, Message, StreamAway

BATCH_BYTES = 512 * 1024
HEADERS = [("content-type", CONTENT_TYPE.encode())]


@dataclass(frozen=True, kw_only=True)
class KafkaCluster:
    servers: str
    topic: str
    is_idempotent: bool
    security: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def connection(self) -> dict[str, Any]:
        """Certificates are read again for each connection that is opened: they are renewed while the shop runs."""
        return {
            "bootstrap_servers": self.servers,
            "security_protocol": self.security,
            "ssl_context": self._tls() if self.security.endswith("SSL") else None,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }

    def _tls(self) -> ssl.SSLContext:
        tls = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file is not None:
            tls.load_cert_chain(self.certificate_file, self.key_file)
        return tls


class KafkaStream:
    """Batches are made here: of each partition one is on its way at a time, so that none overtakes a failed one."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self.cluster = cluster
        self._producer: AIOKafkaProducer | None = None
        self._partition_of = DefaultPartitioner()

    async def send(self, messages: Sequence[Message]) -> None:
        try:
            producer = await self._opened()
            partitions = sorted(await producer.partitions_for(self.cluster.topic))
            shares: defaultdict[int, list[Message]] = defaultdict(list)
            for message in messages:
                shares[self._partition_of(message.key.encode(), partitions, partitions)].append(message)
            await asyncio.gather(*(self._send_in_order(producer, *share) for share in shares.items()))
        except (KafkaError, OSError) as error:
            await self.aclose()  # an idempotent producer that failed knows no more which numbers were taken
            raise StreamAway(f"Kafka: {type(error).__name__}: {error}") from error

    async def _opened(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self.cluster.connection,
                acks="all",
                enable_idempotence=self.cluster.is_idempotent,
                request_timeout_ms=10_000,
                max_batch_size=BATCH_BYTES,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _send_in_order(self, producer: AIOKafkaProducer, partition: int, messages: Sequence[Message]) -> None:
        batch = producer.create_batch()
        for message in messages:
            entry = {
                "key": message.key.encode(),
                "value": message.body,
                "timestamp": message.at_ms,
                "headers": HEADERS,
            }
            if batch.append(**entry) is None:  # it is full
                await self._send_batch(producer, batch, partition)
                batch = producer.create_batch()
                batch.append(**entry)
        await self._send_batch(producer, batch, partition)

    async def _send_batch(self, producer: AIOKafkaProducer, batch: Any, partition: int) -> None:
        batch.close()
        await (await producer.send_batch(batch, self.cluster.topic, partition=partition))

    async def read(self, begin: str) -> AsyncIterator[dict[str, Any]]:
        try:
            async with self._consumer() as consumer:
                oldest_ms = await self._go_to(consumer, begin)
                async for record in consumer:
                    if record.timestamp >= oldest_ms:
                        yield json.loads(record.value)
        except (KafkaError, OSError) as error:
            raise StreamAway(f"Kafka: {type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(**self.cluster.connection, enable_auto_commit=False)
        try:
            await consumer.start()
            await consumer.topics()  # asks the brokers for what there is
            partitions = consumer.partitions_for_topic(self.cluster.topic) or ()
            consumer.assign([TopicPartition(self.cluster.topic, number) for number in partitions])
            yield consumer
        finally:
            await consumer.stop()

    async def _go_to(self, consumer: AIOKafkaConsumer, begin: str) -> int:
        """The time of the oldest event that is wanted: some brokers find a time only roughly."""
        match begin:
            case "beginning":
                await consumer.seek_to_beginning()
                return 0
            case "now":
                await consumer.seek_to_end()
                return 0
        at = _milliseconds(begin)
        found = await consumer.offsets_for_times(dict.fromkeys(consumer.assignment(), at))
        for partition, place in found.items():
            if place is None:
                await consumer.seek_to_end(partition)
            else:
                consumer.seek(partition, place.offset)
        return at

    async def aclose(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()


def _milliseconds(time: str) -> int:
    try:
        return int(datetime.fromisoformat(time).timestamp() * 1000)
    except ValueError:
        raise ValueError(f"{time!r} is neither `beginning`, nor `now`, nor a time such as 2026-03-04T05:06Z") from None
