"""The truth about a running system, out of its two databases, Temporal and the supervisor's log.

Never out of counters of the system under test: those are what may be wrong.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from chaos.checker.databases import NOT_CONSERVED
from deploy.local.stack import Stack
from tests.support.load import Lines
from workflows.contracts import OrderOutcome

TERMINAL = ("shipped", "rejected", "cancelled", "failed")
T = TypeVar("T")


async def until(
    look: Callable[[], Awaitable[T]], within_s: float, what: str, every_s: float = 0.05
) -> T:
    """Return what `look` gives once that is true; fail after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(every_s)


class DatabaseChecks:
    """What one running stack has written down."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.settled_after_s = 0.0  # how long the last wait for orders to end took
        self._temporal: Client | None = None

    async def sql(self, database: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Rows of a query; a connection each, so that a restarted server is no obstacle."""
        dsn = self.stack.postgres.admin_dsn(database)
        connection = await asyncpg.connect(dsn, timeout=5, command_timeout=10)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            connection.terminate()

    async def statuses(self, orders: Collection[str]) -> dict[str, str]:
        """The stored status of each of these orders; those not stored are missing."""
        rows = await self.sql(
            "orders",
            "SELECT order_id, status FROM orders WHERE order_id = ANY ($1)",
            [UUID(order) for order in orders],
        )
        return {str(row["order_id"]): row["status"] for row in rows}

    async def settled(self, orders: Collection[str], within_s: float) -> dict[str, str]:
        """Wait until each of these orders has ended; how."""

        async def all_ended() -> dict[str, str] | None:
            found = await self.statuses(orders)
            ended = sum(status in TERMINAL for status in found.values())
            return found if ended == len(set(orders)) else None

        began = time.monotonic()
        found = await until(all_ended, within_s, f"{len(orders)} orders settled", every_s=0.2)
        assert found is not None
        self.settled_after_s = time.monotonic() - began
        await self._workflows_say_so(found)
        return found

    async def _workflows_say_so(self, ended: dict[str, str]) -> None:
        """At rest, the row and the workflow's result are the same."""
        if self._temporal is None:
            address = f"127.0.0.1:{self.stack.settings.ports.temporal}"
            self._temporal = await Client.connect(address, data_converter=pydantic_data_converter)
        client = self._temporal
        few = asyncio.Semaphore(20)

        async def check(order_id: str, status: str) -> None:
            handle = client.get_workflow_handle(f"order-{order_id}", result_type=OrderOutcome)
            async with few, asyncio.timeout(30):
                outcome: OrderOutcome = await handle.result()
            assert outcome.status == status, (order_id, status, outcome)

        await asyncio.gather(*(check(order_id, status) for order_id, status in ended.items()))

    async def assert_moved_once(self, orders: Iterable[str], lines: Lines) -> None:
        """Each order took exactly its lines off the shelf, each line once."""
        expected = {
            UUID(order): {
                (sku, operation, quantity): 1
                for sku, quantity in lines.items()
                for operation in ("reserve", "commit")
            }
            for order in orders
        }
        rows = await self.sql(
            "inventory",
            "SELECT order_id, sku, operation, quantity FROM movements WHERE order_id = ANY ($1)",
            list(expected),
        )
        moved: dict[UUID, Counter[tuple[str, str, int]]] = {order: Counter() for order in expected}
        for order_id, *movement in rows:
            moved[order_id][tuple(movement)] += 1
        wrong = {order: found for order, found in moved.items() if found != expected[order]}
        assert not wrong, wrong

    async def assert_stock_balances(self) -> None:
        """Every shelf equals its ledger, in one snapshot: the equations of the contract."""
        wrong = await self.sql("inventory", NOT_CONSERVED)
        assert not wrong, wrong

    async def stock(self, sku: str) -> tuple[int, int]:
        """On hand and reserved."""
        [row] = await self.sql("inventory", "SELECT on_hand, reserved FROM stock WHERE sku=$1", sku)
        return row["on_hand"], row["reserved"]

    async def movements(self, order_id: str) -> list[str]:
        """What happened to an order's stock, in order."""
        rows = await self.sql(
            "inventory",
            "SELECT operation FROM movements WHERE order_id = $1 ORDER BY movement_id",
            UUID(order_id),
        )
        return [row["operation"] for row in rows]

    async def events(self, order_id: str) -> list[str]:
        """The order's timeline, by type."""
        rows = await self.sql(
            "orders", "SELECT type FROM order_events WHERE order_id=$1 ORDER BY seq", UUID(order_id)
        )
        return [row["type"] for row in rows]

    def pids(self, name: str) -> list[int]:
        """Every process that has run under this name, from the supervisor's log."""
        log = (self.stack.state_dir.logs / "supervisor.log").read_text()
        return [int(pid) for pid in re.findall(rf"started {name} pid=(\d+)", log)]
