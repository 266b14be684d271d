"""Retention: Temporal forgets orders that have ended, and their shoppers send them once more."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

from chaos.checker.collect import TemporalReader, statuses
from chaos.client.load import Shoppers
from chaos.scenarios.workload import PlannedOrder

# The number of that sending in the client's history: beyond any retry of the run.
RESEND_TRY = 1_000


async def forget(
    address: str,
    orders_dsn: str,
    shoppers: Shoppers,
    orders: Sequence[PlannedOrder],
    spared: Collection[UUID],
    count: int,
) -> frozenset[UUID]:
    """Delete the engine's memory of `count` shipped orders, send each again, and say which.

    Not of those in `spared`: what happened to them is still to be read from their histories.
    """
    ended = await statuses(orders_dsn)
    free = [
        order
        for order in orders
        if ended.get(order.order_id) == "shipped" and order.order_id not in spared
    ]
    temporal = await TemporalReader.connect(address)
    chosen = free[:: max(len(free) // count, 1)][:count]
    await asyncio.gather(*(temporal.forget(order.order_id) for order in chosen))
    await asyncio.gather(*(shoppers.again(order, RESEND_TRY) for order in chosen))
    return frozenset(order.order_id for order in chosen)
