"""A full disk, without filling one: processes that may not make any file longer.

The kernel refuses their writes beyond a limit as it does on a full disk; a database or a log cannot
tell the two apart (EFBIG instead of ENOSPC). What was written before stays.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import psutil

LOOK_EVERY_S = 0.05


def why_not() -> str | None:
    """Return why no process can be limited on this machine, None if it can."""
    return None if sys.platform.startswith("linux") else "limits of other processes are Linux's"


def families(pids: Iterable[int]) -> list[int]:
    """Return these processes and all their descendants, whatever sessions those have opened."""
    found: list[int] = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [pid, *(each.pid for each in psutil.Process(pid).children(recursive=True))]
    return found


@asynccontextmanager
async def full(pids: Callable[[], Iterable[int]], at_bytes: int) -> AsyncIterator[None]:
    """Keep the processes that `pids` names, and all they start, from writing beyond `at_bytes`."""
    before: dict[int, int] = {}

    async def keep() -> None:
        while True:
            for pid in families(pids()):
                _limit(pid, at_bytes, before)
            await asyncio.sleep(LOOK_EVERY_S)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        # Whoever was born meanwhile has inherited it: until nobody is left who has it.
        while _lift(pids, at_bytes, before):
            pass


if sys.platform.startswith("linux"):
    import resource

    def _limit(pid: int, at_bytes: int, before: dict[int, int]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            if soft != at_bytes:
                before[pid] = soft
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (at_bytes, hard))

    def _lift(pids: Callable[[], Iterable[int]], at_bytes: int, before: dict[int, int]) -> bool:
        """Lift the limit from all who have it; return whether there was anybody."""
        found = False
        for pid in families(pids()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                if soft == at_bytes:
                    found = True
                    usual = before.get(pid, hard)
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (usual, hard))
        return found

else:

    def _limit(pid: int, at_bytes: int, before: dict[int, int]) -> None:
        """Nowhere else."""

    def _lift(pids: Callable[[], Iterable[int]], at_bytes: int, before: dict[int, int]) -> bool:
        """Nowhere else."""
        return False
