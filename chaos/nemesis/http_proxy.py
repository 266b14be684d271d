"""An HTTP proxy that balances, and whose subclasses may interfere with single requests.

Each request gets a connection of its own to the server, so a replica that dies takes only its own
requests with it.
"""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from chaos.nemesis.proxy import Proxy
from deploy.local.ports import LOOPBACK

CONNECT_S = 1.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer, whole; of one that is passed on in pieces, the head."""

    head: bytes
    body: bytes = b""

    @property
    def raw(self) -> bytes:
        """All its bytes."""
        return self.head + self.body


class HttpProxy(Proxy):
    """Passes requests to its `upstreams` (ports on loopback) in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.upstreams: Sequence[int] = ()
        self._turn = itertools.count()
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._loose: set[asyncio.Task[Message | None]] = set()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"http://{LOOPBACK}:{self.port}"

    async def quiet(self) -> None:
        """Return once nothing is under way to a server, not even for a client that has left."""
        while self._loose or not self._quiet.is_set():
            await asyncio.gather(*self._loose, return_exceptions=True)
            await self._quiet.wait()

    async def serve(self, request: Message, client: "Client") -> bool:
        """Do with a request what is to be done; return whether the connection is still good.

        A subclass that does not interfere with a request passes it on by this.
        """
        answer = await self.deliver(request, client)
        if answer is None:
            client.abort()
            return False
        await client.send(answer.body if client.has_begun else answer.raw)
        return True

    def heed(self, request: Message, answer: Message | None) -> None:
        """Take notice of an answer; None if there was none."""

    def deliver_later(self, request: Message, seconds: float) -> asyncio.Task[Message | None]:
        """Deliver the request in a while, whoever still waits for its answer."""

        async def deliver() -> Message | None:
            await asyncio.sleep(seconds)
            return await self.deliver(request)

        task = asyncio.create_task(deliver())
        self._loose.add(task)
        self._tasks.add(task)
        task.add_done_callback(self._loose.discard)
        task.add_done_callback(self._tasks.discard)
        return task

    async def deliver(self, request: Message, client: "Client | None" = None) -> Message | None:
        """Hand the request to the next server in turn that takes connections.

        An answer that comes in pieces goes to the `client` as it comes, if there is one.
        """
        self._under_way += 1
        self._quiet.clear()
        try:
            return await self._try_each(request, client)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

    async def _try_each(self, request: Message, client: "Client | None") -> Message | None:
        await self._is_open.wait()
        for _ in range(len(self.upstreams)):
            port = self.upstreams[next(self._turn) % len(self.upstreams)]
            try:
                async with asyncio.timeout(CONNECT_S):
                    reader, writer = await asyncio.open_connection(LOOPBACK, port)
            except (OSError, TimeoutError):
                continue
            try:
                writer.write(request.raw)
                head = await _head(reader)
                if head is not None and client is not None and _CHUNKED.search(head):
                    return await self._stream(head, reader, client)
                answer = None if head is None else Message(head, await _body(head, reader))
                self.heed(request, answer)
                await self._is_open.wait()
                return answer
            except (OSError, ValueError, asyncio.IncompleteReadError):
                return None  # it may have been served: passing it on again is not ours to decide
            finally:
                writer.close()
        return None

    async def _stream(self, head: bytes, reader: asyncio.StreamReader, client: "Client") -> Message:
        client.has_begun = True
        await client.send(head)
        async for chunk in _chunks(reader):
            await self._is_open.wait()
            await client.send(chunk)
        return Message(head)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await _head(reader)) is not None:
            request = Message(head, await _body(head, reader))
            if not await self.serve(request, Client(reader, writer)):
                break


class Client:
    """The connection that a request came on; `has_begun` tells that an answer is on its way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.has_begun = False
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send a part of an answer."""
        self._writer.write(data)
        await self._writer.drain()

    def abort(self) -> None:
        """Reset the connection."""
        self._writer.transport.abort()

    async def has_left(self) -> None:
        """Return once the client has had enough."""
        await self._reader.read()


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    """Return the head of the next message (64 KiB at most), None at the connection's end."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return None


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if _CHUNKED.search(head):
        return b"".join([chunk async for chunk in _chunks(reader)])
    length = _LENGTH.search(head)
    return await reader.readexactly(int(length.group(1))) if length else b""


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the chunks of a body as they are on the wire, up to its end."""
    last = False
    while not last:
        size = await reader.readuntil(b"\r\n")
        last = int(size.partition(b";")[0], 16) == 0
        yield size + await reader.readexactly(int(size.partition(b";")[0], 16) + 2)
