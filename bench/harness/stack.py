"""A stack to measure on: free ports, a temporary home, the embedded defaults."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from bench.harness import processes
from bench.harness.load import Shoppers
from bench.harness.results import Row
from deploy.local.ports import LOOPBACK
from deploy.local.postgres.connection import connected
from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack

OURS = ("worker", "order_api", "inventory_api")
_POLL_INTERVAL_S = 0.25

UNSETTLED = "SELECT count(*) FROM orders WHERE status IN ('received', 'reserved')"
BY_STATUS = "SELECT status, count(*) AS orders FROM orders GROUP BY status ORDER BY status"
SHIPPED = """
SELECT l.sku, sum(l.quantity)::bigint AS pieces FROM order_lines l JOIN orders o USING (order_id)
WHERE o.status = 'shipped' GROUP BY l.sku
"""
LEFT_SHELF = """
SELECT sku, sum(quantity)::bigint AS pieces FROM movements WHERE operation = 'commit' GROUP BY sku
"""
OVERSOLD = "SELECT count(*) FROM stock WHERE on_hand < 0 OR reserved < 0 OR reserved > on_hand"


@dataclass(slots=True)
class CpuUsage:
    """What a stretch of load cost: CPU seconds by process, and other people's part.

    `foreign` is the share of the machine that was used by processes that are not ours.
    """

    cpu_s: dict[str, float] = field(default_factory=dict)
    foreign: float = 0.0

    def ms(self, name: str, orders: int) -> float:
        """Return the CPU milliseconds of one process per order."""
        return 1000 * self.cpu_s[name] / max(orders, 1)

    def ours_ms(self, orders: int) -> float:
        """Return those of worker, order_api and inventory_api together."""
        return sum(self.ms(name, orders) for name in OURS)


@dataclass(slots=True)
class Plan:
    """How long to measure, and whom to tell."""

    quick: bool
    say: Callable[[str], None]
    noise: list[float] = field(default_factory=list)  # what others used, a share a stretch

    def seconds(self, full: float) -> float:
        """Return the length of a stretch that takes `full` seconds in the full form."""
        return max(full / 3, 3.0) if self.quick else full

    def report(self, rows: list[Row]) -> list[Row]:
        """Tell rows as they come, and return them."""
        for row in rows:
            self.say(f"{row.what}: {row.value:.4g} {row.unit}")
        return rows


@asynccontextmanager
async def cpu_usage_of(pids: Mapping[str, int], plan: Plan) -> AsyncIterator[CpuUsage]:
    """Find out what is used inside by processes that stay, by ourselves and our ended children."""
    found = CpuUsage()
    before, machine = processes.cpu_seconds(pids), processes.machine_seconds()
    began = time.perf_counter()
    yield found
    after, lasted = processes.cpu_seconds(pids), time.perf_counter() - began
    found.cpu_s = {name: after[name] - before[name] for name in before}
    foreign = processes.machine_seconds() - machine - sum(found.cpu_s.values())
    found.foreign = max(0.0, foreign / (lasted * (os.cpu_count() or 1)))
    plan.noise.append(found.foreign)


class Harness:
    """A running stack and the questions that a measurement asks of it."""

    def __init__(self, stack: Stack, plan: Plan) -> None:
        self.stack = stack
        self._plan = plan

    def pids(self) -> dict[str, int]:
        """Return the process id of everything that runs."""
        return {
            name: process.pid
            for name, process in self.stack.processes.items()
            if process.pid is not None
        }

    def shoppers(self, seed: int = 1) -> Shoppers:
        """Return new customers."""
        port = self.stack.settings.ports.order
        return Shoppers(LOOPBACK, port, lambda who: self.stack.token(who, "shopper"), seed)

    def cpu_usage(self) -> AbstractAsyncContextManager[CpuUsage]:
        """Find out what the load inside costs; nothing may be restarted meanwhile."""
        return cpu_usage_of(self.pids(), self._plan)

    async def drained(self, within_s: float) -> float:
        """Return after how many seconds no order was open; TimeoutError if that is late."""
        began = time.perf_counter()
        async with asyncio.timeout(within_s), self.database("orders") as connection:
            while await connection.fetchval(UNSETTLED):  # noqa: ASYNC110  the fact is a row
                await asyncio.sleep(_POLL_INTERVAL_S)
        return time.perf_counter() - began

    async def by_status(self) -> dict[str, int]:
        """Return how many orders are in each state."""
        async with self.database("orders") as connection:
            return {row["status"]: row["orders"] for row in await connection.fetch(BY_STATUS)}

    async def stock_is_right(self) -> bool:
        """Tell whether exactly what was shipped left the shelves, and nothing was oversold."""
        async with self.database("orders") as connection:
            shipped = {row["sku"]: row["pieces"] for row in await connection.fetch(SHIPPED)}
        async with self.database("inventory") as connection:
            left = {row["sku"]: row["pieces"] for row in await connection.fetch(LEFT_SHELF)}
            oversold = await connection.fetchval(OVERSOLD)
        return shipped == left and not oversold

    def database(self, name: str) -> AbstractAsyncContextManager["asyncpg.Connection[Any]"]:
        """Give a connection to one of the databases."""
        return connected(self.stack.postgres.dsn(name))


@contextlib.contextmanager
def temporary_home() -> Iterator[Path]:
    """Give a folder for a stack, gone afterwards; 0711, the database's account passes through."""
    folder = Path(tempfile.mkdtemp(prefix="valerix-bench-"))
    folder.chmod(0o711)
    try:
        yield folder / "home"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def harness(plan: Plan) -> AsyncIterator[Harness]:
    """Start a fresh stack with the embedded defaults, stop it, and throw it away."""
    with temporary_home() as home:
        plan.say("starting a stack")
        async with Stack(StackSettings(home=home, ports=Ports.free())) as stack:
            yield Harness(stack, plan)
