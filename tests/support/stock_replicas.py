"""The real Stock on a real database, as many replicas of it as a test wants."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from inventory_api.contracts import Line
from inventory_api.stock import Stock
from service_kit.postgres import pool

_numbers = itertools.count(1)


def new_sku() -> str:
    """Return a SKU that no other test uses."""
    return f"SKU-{next(_numbers)}"


def line(sku: str, quantity: int = 1) -> Line:
    return Line(sku=sku, quantity=quantity)


@asynccontextmanager
async def replicas(
    dsn: str,
    count: int = 1,
    *,
    size: int = 8,
    lock_timeout_s: float = 10.0,
    deadline_s: float = 20.0,
) -> AsyncIterator[list[Stock]]:
    """Give as many Stocks, each with a pool of its own.

    The limits are generous unless told: a busy machine must not look like a busy database.
    """
    async with AsyncExitStack() as stack:
        stocks = []
        for number in range(count):
            connections = await pool.create(
                dsn,
                name=f"replica {number}",
                size=size,
                lock_timeout_s=lock_timeout_s,
                statement_timeout_s=(lock_timeout_s + deadline_s) / 2,
            )
            stack.callback(connections.terminate)
            stocks.append(Stock(connections, deadline_s=deadline_s))
        yield stocks
