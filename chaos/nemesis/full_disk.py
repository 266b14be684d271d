"""A full disk, without filling one: processes that may not make any file longer.

The kernel refuses their writes beyond a limit as it does on a full disk; a database or a log cannot
tell the two apart (EFBIG instead of ENOSPC). What was written before stays.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

POLL_INTERVAL_S = 0.05


def why_not() -> str | None:
    """Return why no process can be limited on this machine, None if it can."""
    if not sys.platform.startswith("linux"):
        return "limits of other processes are Linux's"
    return None if shutil.which("prlimit") else "a full disk needs the program prlimit"


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
    before: dict[int, str] = {}

    def limit_all() -> None:
        for pid in families(pids()):
            _limit(pid, at_bytes, before)

    over = asyncio.Event()

    async def keep() -> None:
        while not over.is_set():
            await asyncio.to_thread(limit_all)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), POLL_INTERVAL_S)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        # Not cancelled: its thread would go on, and limit somebody after all limits are lifted.
        over.set()
        await keeping
        # Whoever was born meanwhile has inherited it: until nobody is left who has it.
        while await asyncio.to_thread(_lift, pids(), at_bytes, before):
            pass


def _limit(pid: int, at_bytes: int, before: dict[int, str]) -> None:
    with contextlib.suppress(OSError, psutil.NoSuchProcess):
        soft = _soft(pid)
        if soft != str(at_bytes):
            before[pid] = soft
            _set(pid, str(at_bytes))


def _lift(pids: Iterable[int], at_bytes: int, before: dict[int, str]) -> bool:
    """Lift the limit from all who have it; return whether there was anybody."""
    found = False
    for pid in families(pids):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if _soft(pid) == str(at_bytes):
                found = True
                _set(pid, before.get(pid, "unlimited"))
    return found


def _soft(pid: int) -> str:
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max file size"):
            return line.removeprefix("Max file size").split()[0]
    raise OSError(f"the limits of {pid} cannot be read")


def _set(pid: int, soft: str) -> None:
    """Set the soft limit, as whoever owns the process: root is not always allowed to."""
    command = ("prlimit", f"--pid={pid}", f"--fsize={soft}:")
    if os.geteuid():
        tried = subprocess.run(command, capture_output=True, check=False)
    else:
        owner = psutil.Process(pid)
        uid, gid = owner.uids().real, owner.gids().real
        tried = subprocess.run(
            command, user=uid, group=gid, extra_groups=[], capture_output=True, check=False
        )
    if tried.returncode:
        raise OSError(tried.stderr.decode(errors="replace").strip())
