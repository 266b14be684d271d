"""The HTTP fault proxy: spoils the requests that the seed has chosen.

It stands between worker and inventory, and between the shoppers and order_api.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from typing import TextIO
from uuid import UUID

from chaos.injection.rules import Call, decide
from chaos.nemesis.http_proxy import Client, HttpProxy, Message
from chaos.scenarios.network_faults import Link, NetworkFault
from chaos.scenarios.records import Fired

_RESERVATION = re.compile(rb"^(?:PUT|POST) /v1/reservations/([0-9a-f-]{36})(?:/(\w+))? ")
_ATTEMPT = re.compile(rb"\r\nx-attempt: *(\d+)", re.IGNORECASE)
_PLACING = re.compile(rb"^POST /v1/orders ")
_REQUEST_ID = re.compile(rb"\r\nx-request-id: *([0-9a-f-]{36})\.place\.(\d+)", re.IGNORECASE)
_BUSY = b"HTTP/1.1 503 "
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
    """The fault log of the proxies: flushed before a fault takes effect, each at most once."""

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


class FaultProxy(HttpProxy):
    """One link. `network_faults` may be changed while it runs."""

    def __init__(self, link: Link, call_of: CallOf, evidence: Evidence) -> None:
        super().__init__()
        self.network_faults: Sequence[NetworkFault] = ()
        self._link = link
        self._call_of = call_of
        self._evidence = evidence

    async def serve(self, request: Message, client: Client) -> bool:
        """Pass one request on, spoiled or not; return whether the connection is still good."""
        call = self._call_of(request.head) if self.network_faults else None
        fault = None if call is None else decide(self.network_faults, self._link, call)
        if fault is None or call is None or not self._evidence.note(fault, call):
            return await super().serve(request, client)
        return await self._spoil(fault, call, request, client)

    def heed(self, request: Message, answer: Message | None) -> None:
        """Remember whom a server has turned away, if it was somebody to be hit by faults."""
        busy = answer is not None and answer.head.startswith(_BUSY)
        if busy and (call := self._call_of(request.head)):
            self._evidence.turned_away.add((call.order_id, call.operation, call.attempt))

    async def _spoil(
        self, fault: NetworkFault, call: Call, request: Message, client: Client
    ) -> bool:
        if fault.fault in ("black_hole", "hold"):
            if fault.fault == "hold":
                self.deliver_later(request, fault.seconds)
            await client.has_left()
            return False
        if fault.fault == "duplicate":
            for _ in range(fault.copies(call) - 1):
                self.deliver_later(request, 0.0)
        answer = await self.deliver(request)
        if answer is None or fault.fault == "reset":
            client.abort()
            return False
        match fault.fault:
            case "cut":
                await client.send(answer.raw[: len(answer.head) + len(answer.body) // 2])
                return False
            case "trickle":
                for byte in answer.raw:
                    await client.send(bytes((byte,)))
                    await asyncio.sleep(fault.seconds)
                return True
            case "latency":
                await asyncio.sleep(fault.seconds)
        await client.send(answer.raw)
        return True
