"""Open-model pacing: everybody comes when the plan says, however slow the answers are."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

SHORTEST_WAIT_S = 0.002
Arrival = TypeVar("Arrival")


def no_delay() -> float:
    """Return by how much those come late who do not come late."""
    return 0.0


async def arrivals(
    planned: Iterable[tuple[float, Arrival]], late_s: Callable[[], float] = no_delay
) -> AsyncIterator[tuple[Arrival, float]]:
    """Yield who comes, and the moment at which they were to come (monotonic clock), by then.

    `planned` says in how many seconds from now. By `late_s`, which only grows, all come later.
    """
    start = time.monotonic()
    for at_s, who in planned:
        yield who, await wait_until_due(start + at_s, late_s)


async def wait_until_due(planned_at: float, late_s: Callable[[], float]) -> float:
    """Return, when it has come, the moment at which somebody is to be there (monotonic clock)."""
    intended = planned_at + late_s()
    while (left_s := intended - time.monotonic()) > 0:
        # As much as everybody is late, what is left to wait may stay the same for a while.
        await asyncio.sleep(left_s if late_s is no_delay else max(left_s, SHORTEST_WAIT_S))
        intended = planned_at + late_s()
    return intended
