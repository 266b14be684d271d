"""Killing a process the moment that something is seen, by a thread that does nothing else."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from chaos.nemesis.processes import ready_again
from chaos.nemesis.system import System

LOOK_EVERY_S = 0.001


async def kill_on_sight(
    system: System, name: str, seen: Callable[[], bool], otherwise: asyncio.Future[object]
) -> bool:
    """Kill a process as soon as `seen`; return False if `otherwise` was done before that."""
    pid = system.processes[name].pid
    assert pid is not None, "it was ready a moment ago"
    over = threading.Event()
    watching = asyncio.create_task(asyncio.to_thread(_watch, pid, seen, over))
    try:
        waiting: set[asyncio.Future[Any]] = {watching, otherwise}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        over.set()
    if not await watching:
        return False
    # its supervisor has to notice first
    while system.processes[name].pid == pid:  # noqa: ASYNC110  nothing announces it
        await asyncio.sleep(LOOK_EVERY_S)
    await ready_again(system, name)
    return True


def _watch(pid: int, seen: Callable[[], bool], over: threading.Event) -> bool:
    while not over.wait(LOOK_EVERY_S):
        if seen():
            os.kill(pid, signal.SIGKILL)
            return True
    return False
