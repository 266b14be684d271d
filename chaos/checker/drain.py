"""Draining: waits until every order has ended, and all that follows from its end is done."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Sequence

from temporalio.client import Client

from activities.contracts import TERMINAL
from chaos.checker.databases import open_orders, unread_events
from chaos.checker.observations import Observations
from chaos.checker.orders import SETTLE_WITHIN_S
from chaos.nemesis.temporal_faults import running_orders
from chaos.scenarios.records import Disturbance
from service_kit.postgres.pool import POSTGRES_ERRORS

POLL_INTERVAL_S = 0.5


async def wait_until_settled(
    orders_dsn: str, healed_at: float, customers: Collection[str]
) -> float | None:
    """Return when no order was open any more (wall clock, s); None if some still are.

    Seen from outside: the system's own times are worth nothing where its clocks are turned.
    """
    looks = 0
    while not looks or time.monotonic() - healed_at < SETTLE_WITHIN_S + 30.0:
        looks += 1
        with contextlib.suppress(*POSTGRES_ERRORS):
            if await open_orders(orders_dsn, customers) == 0:
                return time.time()
        await asyncio.sleep(POLL_INTERVAL_S)
    return None


def settled_within_s(
    observations: Observations,
    disturbances: Sequence[Disturbance],
    settled_at: Sequence[float | None],
) -> float | None:
    """Return how long after a part's last fault or sending its last order ended, at the worst.

    `settled_at` says of each part of the run when nothing was open any more. None if an order has
    not ended, or had not when its part was over.
    """
    if not settled_at or any(row.status not in TERMINAL for row in observations.orders):
        return None
    sent = [entry.at for entry in observations.history if entry.operation == "place"]
    causes = [*sent, *(gone.end for gone in disturbances)]
    worst, begin = 0.0, 0.0
    for at in settled_at:
        if at is None:
            return None
        healed = max((cause for cause in causes if begin < cause <= at), default=at)
        worst, begin = max(worst, at - healed), at
    return worst


async def subscribers_done(orders_dsn: str, within_s: float = 45.0) -> None:
    """Wait until the subscribers have read every event; they owe it, but not at once."""
    for _ in range(int(within_s / POLL_INTERVAL_S)):
        if await unread_events(orders_dsn) == 0:
            return
        await asyncio.sleep(POLL_INTERVAL_S)


async def workflows_done(temporal: Client, mine: set[str], within_s: float = 45.0) -> None:
    """Wait until Temporal knows that every order has ended; it may learn it after the row."""
    for _ in range(int(within_s / POLL_INTERVAL_S)):
        if not mine & await running_orders(temporal):
            return
        await asyncio.sleep(POLL_INTERVAL_S)
