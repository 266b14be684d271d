"""Disk faults: processes that may not make any file longer, as if their disk were full.

The kernel refuses their writes beyond a limit as it does on a full disk; a database or a log cannot
tell the two apart (EFBIG instead of ENOSPC). What was written before stays.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil

from chaos.nemesis.processes import all_ready_again, families, kill
from chaos.nemesis.system import System
from deploy.local.stack import POSTGRES
from service_kit.postgres.pool import POSTGRES_ERRORS
from service_kit.process.waiting import is_set_within

POLL_INTERVAL_S = 0.05
REFUSED_WITHIN_S = 60.0
# A database starts again with less, and can keep nothing.
FULL_DATABASE_BYTES = 16 * 1024
FULL_LOG_BYTES = 1
A_WRITE = "SELECT pg_logical_emit_message(true, 'chaos', 'is there room?')"


def why_not() -> str | None:
    """Return why no process can be limited on this machine, None if it can."""
    if not sys.platform.startswith("linux"):
        return "limits of other processes are Linux's"
    return None if shutil.which("prlimit") else "a full disk needs the program prlimit"


async def fill(system: System, names: Sequence[str], seconds: float) -> bool:
    """Fill the disk under some processes; return whether any of them was refused a write.

    It stays full until that has happened: how soon a process that was just born is limited, and
    writes, is the machine's business.
    """
    database = names == [POSTGRES]
    at_bytes = FULL_DATABASE_BYTES if database else FULL_LOG_BYTES
    async with full(lambda: system.pids(names), at_bytes):
        healing = asyncio.create_task(asyncio.sleep(seconds))
        deadline = time.monotonic() + REFUSED_WITHIN_S
        refused = False
        while not refused and time.monotonic() < deadline:
            if database:
                refused = not await _takes_writes(system.admin_dsn("orders"))
            else:
                refused = await _starts_unheard(system, names)
        await healing
        return refused


async def _starts_unheard(system: System, names: Sequence[str]) -> bool:
    """Start services anew, who have a lot to say then; return whether their logs took nothing."""
    logs = [system.processes[name].log_file for name in names]
    sizes = [log.stat().st_size for log in logs]
    await asyncio.gather(*(kill(system, name) for name in names))
    await all_ready_again(system, names)
    return sizes == [log.stat().st_size for log in logs]


async def _takes_writes(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=2.0)
        try:
            await connection.execute(A_WRITE, timeout=2.0)
        finally:
            connection.terminate()
    except TimeoutError:
        return True  # slow is not full
    except POSTGRES_ERRORS:
        return False
    return True


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
            await is_set_within(over, POLL_INTERVAL_S)

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
