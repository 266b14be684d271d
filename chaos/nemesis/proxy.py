"""A proxy on loopback that can be shut: nothing passes, nobody knows."""

import asyncio
import socket
from abc import abstractmethod

from chaos.nemesis.environment import Environment
from deploy.local.ports import LOOPBACK


class Proxy(Environment):
    """Accepts connections in its with block, each to be carried to its end by a subclass.

    It listens on loopback, or at `landing`, a socket that somebody has made elsewhere.
    """

    def __init__(self, landing: socket.socket | None = None) -> None:
        super().__init__()
        self._landing = landing
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._server: asyncio.Server

    async def _start(self) -> None:
        address = {"sock": self._landing} if self._landing else {"host": LOOPBACK, "port": 0}
        self._server = await asyncio.start_server(self._accept, **address)
        self._exits.push_async_callback(self._stop)

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close themselves in the loop's next turn

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def shut(self) -> None:
        """Let nothing through from now on, in either direction."""
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
            await self._carry(reader, writer)
        except* (OSError, EOFError, ValueError, RuntimeError, asyncio.CancelledError):
            pass  # one end has gone away, or is not to be understood: so does the other
        finally:
            self._tasks.discard(task)
            writer.close()

    @abstractmethod
    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
