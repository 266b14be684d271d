"""The sign of life of an activity that takes long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

HEARTBEAT_S = 5.0


@asynccontextmanager
async def alive() -> AsyncIterator[None]:
    """Tell Temporal every few seconds that the work goes on, or it would give it to another."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_S)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
