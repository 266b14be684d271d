"""A TCP proxy for any protocol (Postgres, Temporal) that can be shut: nothing passes, nobody knows.

Shut, it is a partition as TCP sees it: connections stay open, bytes wait. New ones are accepted and
get no answer. Opened again, it lets everything through, also what senders have given up on.
"""

import asyncio
import contextlib
import socket
from typing import Self

from deploy.local.ports import LOOPBACK

CHUNK = 64 * 1024


class TcpProxy:
    """Forwards connections to the port `upstream` at `host` while it is open.

    It listens on loopback, or at `landing`, a socket that somebody has made elsewhere.
    """

    def __init__(
        self, upstream: int, *, host: str = LOOPBACK, landing: socket.socket | None = None
    ) -> None:
        self.upstream = upstream
        self._host = host
        self._landing = landing
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        if self._landing is None:
            self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        else:
            self._server = await asyncio.start_server(self._accept, sock=self._landing)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def shut(self) -> None:
        """Let nothing through from now on."""
        self._is_open.clear()

    async def open(self) -> None:
        """Let everything through again."""
        self._is_open.set()

    async def cut(self, seconds: float) -> None:
        """Let nothing through for a while."""
        await self.shut()
        try:
            await asyncio.sleep(seconds)
        finally:
            await self.open()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._forward(reader, writer)
        except* (OSError, asyncio.CancelledError):
            pass  # one end has gone away: so does the other
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
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
