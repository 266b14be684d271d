"""Frozen processes: they are there, keep their connections, and do nothing (SIGSTOP)."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from chaos.nemesis.full_disk import families
from deploy.local.stack import Stack


def pids(stack: Stack, names: Sequence[str]) -> list[int]:
    """Return the process numbers of those that run."""
    return [pid for name in names if (pid := stack.processes[name].pid) is not None]


@asynccontextmanager
async def frozen(stack: Stack, names: Sequence[str]) -> AsyncIterator[list[int]]:
    """Freeze these processes, with all they have started, until the block is left."""
    # Postgres is only frozen with its backends, and those have sessions of their own.
    family = families(pids(stack, names))
    try:
        _signal(family, signal.SIGSTOP)
        yield family
    finally:
        _signal(reversed(family), signal.SIGCONT)


def _signal(family: Iterable[int], sig: signal.Signals) -> None:
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)
