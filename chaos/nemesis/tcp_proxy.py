"""A TCP proxy for any protocol (Postgres, Temporal) that can be shut: nothing passes, nobody knows.

Shut, it is a partition as TCP sees it: connections stay open, bytes wait. New ones are accepted and
get no answer. Opened again, it lets everything through, also what senders have given up on.
"""

import asyncio
import contextlib
import socket

from chaos.nemesis.proxy import Proxy
from deploy.local.ports import LOOPBACK

CHUNK = 64 * 1024


class TcpProxy(Proxy):
    """Forwards connections to the port `upstream` at `host` while it is open."""

    def __init__(
        self, upstream: int, *, host: str = LOOPBACK, landing: socket.socket | None = None
    ) -> None:
        super().__init__(landing)
        self.upstream = upstream
        self._host = host

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._is_open.wait()
        there_reader, there_writer = await asyncio.open_connection(self._host, self.upstream)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there_writer))
                group.create_task(self._pump(there_reader, writer))
        finally:
            there_writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK):
            await self._is_open.wait()
            sink.write(chunk)
            await sink.drain()
        with contextlib.suppress(OSError, RuntimeError):
            sink.write_eof()
