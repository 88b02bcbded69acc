"""A way to a server that can be closed and opened: an outage without killing what others use."""

import asyncio
from contextlib import suppress


class Gate:
    """Passes on to the server while it is open; closed, it refuses connections and cuts those that are there.

    Held up, it takes everything and passes nothing on, as a dead line does.
    """

    def __init__(self, port: int, host: str, target: int) -> None:
        self.port = port
        self._host = host
        self._target = target
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.StreamWriter] = set()
        self.connections = 0
        """So many were made to it so far."""
        self._is_passable = asyncio.Event()
        self._is_passable.set()

    def hold_up(self) -> None:
        self._is_passable.clear()

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._passing):
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._is_passable.wait()
        there, back = await asyncio.open_connection(self._host, self._target)
        self._passing |= {writer, back}
        try:
            await asyncio.gather(self._copied(reader, back), self._copied(there, writer))
        finally:
            for one in (writer, back):
                self._passing.discard(one)
                one.close()

    async def _copied(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._is_passable.wait()
                to.write(data)
                await to.drain()
        to.close()
