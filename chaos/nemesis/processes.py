"""Process faults: kill, freeze, stop and restart processes, and wait until they work again."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import psutil

from chaos.nemesis.system import System, deadly
from deploy.local.errors import StartRefused

READY_WITHIN_S = 60.0


async def ready_again(system: System, name: str) -> None:
    """Return once the process has been ready; it may have been killed again in the same instant.

    It has as long as a slow machine needs, not for ever.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            await system.processes[name].wait_ready(max(deadline - time.monotonic(), 0.1))
        except StartRefused:
            if time.monotonic() > deadline:
                raise
        else:
            return


async def all_ready_again(system: System, names: Sequence[str]) -> None:
    """Return once each of these processes has been ready."""
    await asyncio.gather(*(ready_again(system, name) for name in names))


async def restart(system: System, name: str, **extra_env: str) -> None:
    """Stop and start a process; return once it is ready, however slowly the machine starts it."""
    await system.restartable[name].stop()
    await system.restartable[name].start(extra_env=extra_env)
    await ready_again(system, name)


async def stop_for(system: System, names: Sequence[str], seconds: float) -> None:
    """Take these processes down for a while."""
    await asyncio.gather(*(system.restartable[name].stop() for name in names))
    await asyncio.sleep(seconds)
    await asyncio.gather(*(system.restartable[name].start() for name in names))


async def kill(system: System, name: str) -> None:
    """Kill a process."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            system.processes[name].kill(deadly(name))
            return
        await ready_again(system, name)  # somebody else has just killed it


async def freeze(system: System, names: Sequence[str], seconds: float) -> None:
    """Freeze these processes for a while."""
    while True:
        async with frozen(system, names) as family:
            if family:
                await asyncio.sleep(seconds)
                return
        await all_ready_again(system, names)  # somebody else has just killed it


@asynccontextmanager
async def frozen(system: System, names: Sequence[str]) -> AsyncIterator[list[int]]:
    """Freeze these processes, with all they have started, until the block is left (SIGSTOP).

    They are there, keep their connections, and do nothing.
    """
    # Postgres is only frozen with its backends, and those have sessions of their own.
    family = families(system.pids(names))
    try:
        _signal(family, signal.SIGSTOP)
        yield family
    finally:
        _signal(reversed(family), signal.SIGCONT)


def families(pids: Iterable[int]) -> list[int]:
    """Return these processes and all their descendants, whatever sessions those have opened."""
    found: list[int] = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [pid, *(each.pid for each in psutil.Process(pid).children(recursive=True))]
    return found


def _signal(family: Iterable[int], sig: signal.Signals) -> None:
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)
