"""Orphans: processes that an earlier run, which was killed, has left behind.

On Linux the kernel ends children together with us. Elsewhere, and in the instant before the kernel
has done so, the state file of the killed run says which processes were its own.
"""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from deploy.local.process.child import kill_group


def identity(pid: int) -> float | None:
    """Return when the live process was born: with the pid, a name that is never given twice."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _is(pid: int, born: float) -> bool:
    """Compare births with tolerance: counted from boot, they move a little with the clock."""
    found = identity(pid)
    return found is not None and abs(found - born) < 2.0


def end_orphans(state: dict[str, Any] | None, within_s: float = 5.0) -> list[str]:
    """Kill the children named in `state` that still live, Postgres by its own quick way out.

    Return the names of those it had to end.
    """
    import psutil

    ended = []
    processes = []
    for name, child in ((state or {}).get("children") or {}).items():
        pid, born = child.get("pid"), child.get("born")
        if pid is None or born is None or not _is(pid, born):
            continue
        ended.append(name)
        if name == "postgres":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGQUIT)
        else:
            kill_group(pid)
        with contextlib.suppress(psutil.Error):
            processes.append(psutil.Process(pid))
    psutil.wait_procs(processes, timeout=within_s)
    return ended


async def start_watchdog(folder: Path) -> asyncio.subprocess.Process:
    """Start `main` beside us, for the stack whose state is published in `folder`."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.process.orphans", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


def main() -> None:
    """Wait for the end of the parent, on systems without a parent-death signal.

    Its standard input is a pipe that only the parent holds open; it ends when the parent does.
    """
    sys.stdin.buffer.read()
    from deploy.local.state_dir import StateDir

    end_orphans(StateDir(Path(sys.argv[1])).read_state())


if __name__ == "__main__":
    main()
