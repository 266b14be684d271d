"""For how long to wait for a process that is not ready: as long as it gets on with it.

A slow or busy machine makes every start long, and a fixed limit there ends what would have come up.
So what counts against the limit is only the time in which a process and its children neither ran
nor waited for a core or a disk: whoever hangs does that, whoever is slow does not.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

# However busy, it is not at its start any more.
AT_MOST = 20.0
_PROC = Path("/proc")
_SCHEDULED = "schedstat"  # nanoseconds on a core, nanoseconds waiting for one, turns
_WAITS_FOR_DISK = psutil.STATUS_DISK_SLEEP


class Patience:
    """Runs out when a process has done nothing for `limit_s`, or after `AT_MOST` times that.

    Ask `is_over` a few times a second; `pid` tells which process is meant, None while there is
    none, which is as good as doing nothing.
    """

    def __init__(self, limit_s: float, pid: Callable[[], int | None]) -> None:
        self.limit_s = limit_s
        self.idle_s = 0.0
        self._pid = pid
        self._began = self._looked = time.monotonic()
        self._effort: dict[tuple[int, str], float] = {}

    @property
    def took_s(self) -> float:
        """How long it has been waited for."""
        return self._looked - self._began

    def is_over(self) -> bool:
        """Look at what the process has done since the last time."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        self.idle_s += max(0.0, passed - self._worked_s(passed))
        return self.idle_s >= self.limit_s or self.took_s >= AT_MOST * self.limit_s

    def _worked_s(self, passed_s: float) -> float:
        pid = self._pid()
        if pid is None:
            return 0.0
        worked_s = 0.0
        for process in _family(pid):
            for thread, effort_s in _efforts(process):
                before = self._effort.get(thread, 0.0)
                self._effort[thread] = effort_s
                worked_s += max(0.0, effort_s - before)
            if _status(process) == _WAITS_FOR_DISK:
                return passed_s
        return worked_s


def _family(pid: int) -> list[psutil.Process]:
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _status(process: psutil.Process) -> str | None:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return None


def _efforts(process: psutil.Process) -> Iterator[tuple[tuple[int, str], float]]:
    """Give how long each thread has run or waited to run; without a Linux kernel, only run."""
    try:
        threads = [*_PROC.glob(f"{process.pid}/task/*/{_SCHEDULED}")]
    except OSError:  # ended while it was looked at, as commands of a recovery do all the time
        return
    for file in threads:
        try:
            ran_ns, waited_ns, _ = file.read_text().split()
        except (OSError, ValueError):  # ended since, or a kernel that does not count
            continue
        yield (process.pid, file.parent.name), (int(ran_ns) + int(waited_ns)) / 1e9
    if not threads:
        try:
            used = process.cpu_times()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return
        yield (process.pid, ""), used.user + used.system
