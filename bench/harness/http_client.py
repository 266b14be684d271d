"""Small keep-alive HTTP/1.1 client, so that generating load costs next to nothing.

A general client costs about as much CPU per request as order_api does, which would be charged to
the platform's rate. This one speaks just enough: fixed requests, answers with a Content-Length.
"""

import asyncio
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and body of an answer."""

    status: int
    body: bytes


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[Reply] | None = None

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._received[:head_end]).lower()
        _, _, rest = head.partition(b"\r\ncontent-length:")
        length = int(rest.partition(b"\r\n")[0] or 0)
        body = self._received[head_end + 4 :]
        if len(body) < length:
            return
        reply = Reply(int(head[9:12]), bytes(body))
        self._received.clear()
        if b"\r\nconnection: close" in head:
            self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("closed before the answer"))

    async def ask(self, request: bytes) -> Reply:
        if self._transport is None:
            raise ConnectionResetError("closed before the request")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class KeepAliveClient:
    """As many connections to one port as there are requests under way, kept for the next ones."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._idle: list[_Connection] = []

    async def ask(self, request: bytes, within_s: float) -> Reply:
        """Return the answer to `request`; OSError or TimeoutError if there was none."""
        async with asyncio.timeout(within_s):
            connection = await self._connected()
            try:
                reply = await connection.ask(request)
            except BaseException:
                connection.close()
                raise
        if connection.usable:
            self._idle.append(connection)
        return reply

    async def _connected(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_Connection, self._host, self._port)
        return made

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
