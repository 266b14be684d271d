"""The wire between two HTTP processes: a proxy that balances, and that spoils chosen requests.

It stands between worker and inventory (and takes the replicas in turn) and between the shoppers
and order_api. Each request gets a connection of its own to the server, so a replica that dies
takes only its own requests with it.
"""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TextIO
from uuid import UUID

from chaos.injection.rules import decide
from chaos.scenarios.network_faults import Link, NetworkFault
from chaos.scenarios.records import Fired
from deploy.local.ports import LOOPBACK
from service_kit.fault_points import Call

MAX_HEAD = 64 * 1024
CONNECT_S = 1.0
_RESERVATION = re.compile(rb"^(?:PUT|POST) /v1/reservations/([0-9a-f-]{36})(?:/(\w+))? ")
_ATTEMPT = re.compile(rb"\r\nx-attempt: *(\d+)", re.IGNORECASE)
_PLACING = re.compile(rb"^POST /v1/orders ")
_REQUEST_ID = re.compile(rb"\r\nx-request-id: *([0-9a-f-]{36})\.place\.(\d+)", re.IGNORECASE)
_BUSY = b"HTTP/1.1 503 "
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

CallOf = Callable[[bytes], Call | None]


def call_at_inventory(head: bytes) -> Call | None:
    """Return which attempt at which step a request to inventory is."""
    found = _RESERVATION.match(head)
    if found is None:
        return None
    attempt = _ATTEMPT.search(head)
    operation = (found.group(2) or b"reserve").decode()
    return Call(UUID(found.group(1).decode()), operation, int(attempt.group(1)) if attempt else 1)


def call_at_orders(head: bytes) -> Call | None:
    """Return which sending of which order a request to order_api is."""
    found = _REQUEST_ID.search(head) if _PLACING.match(head) else None
    return Call(UUID(found.group(1).decode()), "accept", int(found.group(2))) if found else None


class Evidence:
    """The wire's own fault log: flushed before a toxic takes effect, each at most once."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file
        self._known: set[tuple[str, UUID, str, int]] = set()
        self.fired: list[Fired] = []
        # Attempts (order, operation, attempt) that a server was too busy for.
        self.turned_away: set[tuple[UUID, str, int]] = set()

    def note(self, network_fault: NetworkFault, call: Call) -> bool:
        """Write it down; False if this has been done before."""
        fired = Fired(
            network_fault.name,
            call.order_id,
            call.operation,
            call.attempt,
            network_fault.point,
            network_fault.fault,
            time.time(),
        )
        if fired.identity in self._known:
            return False
        self._known.add(fired.identity)
        self.fired.append(fired)
        if self._file is not None:
            line = {
                "rule": fired.rule,
                "order": str(fired.order_id),
                "operation": fired.operation,
                "attempt": fired.attempt,
                "fault": fired.fault,
                "at": fired.at,
            }
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        return True


@dataclass(frozen=True, slots=True)
class _Message:
    """A request or an answer, whole."""

    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.head + self.body


class HttpProxy:
    """One link. `toxics` may be changed while it runs; `upstreams` are ports on loopback."""

    def __init__(self, link: Link, call_of: CallOf, evidence: Evidence) -> None:
        self.upstreams: Sequence[int] = ()
        self.network_faults: Sequence[NetworkFault] = ()
        self._link = link
        self._call_of = call_of
        self._evidence = evidence
        self._turn = itertools.count()
        self._open = asyncio.Event()
        self._open.set()
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._server: asyncio.Server | None = None
        self._loose: set[asyncio.Task[_Message | None]] = set()
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0, limit=MAX_HEAD)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        tasks = [*self._connections, *self._loose]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close themselves in the loop's next turn

    @property
    def url(self) -> str:
        """Where clients connect to."""
        assert self._server is not None
        return f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    async def cut(self, seconds: float) -> None:
        """Let nothing through for a while, in either direction."""
        self._open.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._open.set()

    async def quiet(self) -> None:
        """Return once nothing is under way to a server, not even for a client that has left."""
        while self._loose or not self._quiet.is_set():
            await asyncio.gather(*self._loose, return_exceptions=True)
            await self._quiet.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (request := await _read(reader)) is not None:
                if not await self._serve(request, reader, writer):
                    break
        except (OSError, ValueError, RuntimeError, asyncio.IncompleteReadError):
            pass  # one side has gone away: so does the other
        except asyncio.CancelledError:
            pass  # the run is over
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(
        self, request: _Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Pass one request on, spoiled or not; return whether the connection is still good."""
        call = self._call_of(request.head) if self.network_faults else None
        network_fault = decide(self.network_faults, self._link, call) if call is not None else None
        if network_fault is None or call is None or not self._evidence.note(network_fault, call):
            answer = await self._deliver(request)
            if answer is None:
                writer.transport.abort()
                return False
            writer.write(answer.raw)
            await writer.drain()
            return True
        return await self._spoil(network_fault, call, request, reader, writer)

    async def _spoil(
        self,
        network_fault: NetworkFault,
        call: Call,
        request: _Message,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        if network_fault.fault == "black_hole":
            await reader.read()  # until the client has had enough
            return False
        if network_fault.fault == "hold":
            self._later(request, network_fault.seconds)
            await reader.read()
            return False
        if network_fault.fault == "duplicate":
            for _ in range(network_fault.copies(call) - 1):
                self._later(request, 0.0)
        answer = await self._deliver(request)
        if answer is None or network_fault.fault == "reset":
            writer.transport.abort()
            return False
        if network_fault.fault == "cut":
            writer.write(answer.raw[: len(answer.head) + len(answer.body) // 2])
            await writer.drain()
            return False
        if network_fault.fault == "trickle":
            for byte in answer.raw:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(network_fault.seconds)
            return True
        if network_fault.fault == "latency":
            await asyncio.sleep(network_fault.seconds)
        writer.write(answer.raw)
        await writer.drain()
        return True

    def _later(self, request: _Message, seconds: float) -> None:
        """Deliver the request in a while, whoever still waits for its answer."""

        async def deliver() -> _Message | None:
            await asyncio.sleep(seconds)
            return await self._deliver(request)

        task = asyncio.create_task(deliver())
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)

    async def _deliver(self, request: _Message) -> _Message | None:
        """Hand the request to the next server in turn that takes connections."""
        self._under_way += 1
        self._quiet.clear()
        try:
            return await self._try_each(request)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

    async def _try_each(self, request: _Message) -> _Message | None:
        await self._open.wait()
        for _ in range(len(self.upstreams)):
            port = self.upstreams[next(self._turn) % len(self.upstreams)]
            try:
                async with asyncio.timeout(CONNECT_S):
                    reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=MAX_HEAD)
            except (OSError, TimeoutError):
                continue
            try:
                writer.write(request.raw)
                answer = await _read(reader)
                self._heed(request, answer)
                await self._open.wait()
                return answer
            except (OSError, ValueError, asyncio.IncompleteReadError):
                return None  # it may have been served: passing it on again is not ours to decide
            finally:
                writer.close()
        return None

    def _heed(self, request: _Message, answer: _Message | None) -> None:
        """Remember whom a server has turned away, if it was somebody to be hit by faults."""
        busy = answer is not None and answer.head.startswith(_BUSY)
        if busy and (call := self._call_of(request.head)):
            self._evidence.turned_away.add((call.order_id, call.operation, call.attempt))


async def _read(reader: asyncio.StreamReader) -> _Message | None:
    """Return the next message, None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return None
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length.group(1))) if length else b""
    return _Message(head, body)
