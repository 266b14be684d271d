"""Both APIs on real sockets while Temporal is away, and ways of asking them byte by byte."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg

from tests.support import asking_again
from tests.support.event_loop_thread import EventLoopThread
from tests.support.raw_http import RawAnswer, exchange, written
from tests.support.serving import Served, bearer

JSON = ("Content-Type", "application/json")
_keys = itertools.count(1)


@dataclass(frozen=True, slots=True)
class BothApis:
    """Both applications, and what is in their databases."""

    orders: Served
    inventory: Served
    loop_thread: EventLoopThread
    databases: tuple["asyncpg.Connection[asyncpg.Record]", ...]

    def contents(self) -> list[list[Any]]:
        """Return every row that a request could have written."""
        return self.loop_thread.run(self._contents())

    async def _contents(self) -> list[list[Any]]:
        return [
            await database.fetch(query)
            for database, queries in zip(self.databases, CONTENTS, strict=True)
            for query in queries
        ]


# Of an order, not when the relay looks at it again.
CONTENTS = (
    (
        "SELECT order_id, status, total_minor FROM orders ORDER BY 1",
        "SELECT * FROM order_lines ORDER BY 1, 2",
        "SELECT * FROM order_events ORDER BY 1",
    ),
    (
        "SELECT * FROM stock ORDER BY 1",
        "SELECT * FROM reservations ORDER BY 1",
        "SELECT * FROM movements ORDER BY 1",
    ),
)


def place(
    apis: BothApis, body: bytes, *headers: tuple[str, str], key: str | None = None
) -> RawAnswer:
    """Send an order as alice; `headers` come on top of identity and key."""
    keys = [("Idempotency-Key", key)] if key else []
    who = list(bearer().items())
    return exchange(apis.orders.port, written("POST", "/v1/orders", [*who, *keys, *headers], body))


def reserve(apis: BothApis, body: bytes, *headers: tuple[str, str]) -> RawAnswer:
    """Send a reservation for a new order as a service."""
    who = list(bearer("service").items())
    request = written("PUT", f"/v1/reservations/{uuid4()}", [*who, *headers], body)
    return exchange(apis.inventory.port, request)


def restock(
    apis: BothApis, body: bytes, *headers: tuple[str, str], sku: str = "MUG-BLUE"
) -> RawAnswer:
    """Send a delivery as staff."""
    who = list(bearer("staff").items())
    request = written("POST", f"/v1/stock/{sku}/restock", [*who, *headers], body)
    return exchange(apis.inventory.port, request)


def at_last(send: Callable[[], RawAnswer]) -> RawAnswer:
    return asking_again.at_last(send, lambda answer: answer.status)


def get(served: Served, path: str, role: str = "shopper", subject: str = "alice") -> RawAnswer:
    request = written("GET", path, bearer(role, subject).items())
    return exchange(served.port, request)


def new_key() -> str:
    return f"key-{next(_keys)}"
