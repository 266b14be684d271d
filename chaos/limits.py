"""A full disk, without filling one: the processes of a group may not make any file longer.

The kernel refuses their writes beyond a limit as it does on a full disk; a database or a log cannot
tell the two apart (EFBIG instead of ENOSPC). What was written before stays.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable

import psutil

# The pid file of a server that starts again must still fit; nothing that matters does.
FULL_AT_BYTES = 16 * 1024
LOOK_EVERY_S = 0.05


def why_not() -> str | None:
    """Return why no process can be limited on this machine, None if it can."""
    return None if sys.platform.startswith("linux") else "limits of other processes are Linux's"


async def fill(pids: Callable[[], Iterable[int]], seconds: float) -> None:
    """Limit the processes of the groups that `pids` lead for a while, also those born meanwhile."""
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            for pid in _members(pids()):
                _limit(pid, full=True)
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        for pid in _members(pids()):
            _limit(pid, full=False)


def _members(leaders: Iterable[int]) -> list[int]:
    groups = set(leaders)
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) in groups:
                found.append(pid)
    return found


def _limit(pid: int, *, full: bool) -> None:
    if sys.platform.startswith("linux"):
        import resource

        with contextlib.suppress(ProcessLookupError, PermissionError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            soft = FULL_AT_BYTES if full else hard
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
