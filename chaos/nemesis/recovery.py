"""Waiting for processes to be well again: as long as a slow machine needs, not for ever."""

import asyncio
import time
from collections.abc import Sequence

from deploy.local.errors import StartRefused
from deploy.local.stack import Stack

READY_WITHIN_S = 60.0


async def ready_again(stack: Stack, name: str) -> None:
    """Return once the process has been ready; it may have been killed again in the same instant."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            await stack.wait_ready(name, max(deadline - time.monotonic(), 0.1))
        except StartRefused:
            if time.monotonic() > deadline:
                raise
        else:
            return


async def all_ready_again(stack: Stack, names: Sequence[str]) -> None:
    """Return once each of these processes has been ready."""
    await asyncio.gather(*(ready_again(stack, name) for name in names))


async def restart(stack: Stack, name: str, **extra_env: str) -> None:
    """Stop and start a process; return once it is ready, however slowly the machine starts it."""
    await stack.stop(name)
    await stack.start(name, **extra_env)
    await ready_again(stack, name)
