"""CPU seconds and memory of the stack's processes, from the kernel's own accounts."""

from collections.abc import Mapping

import psutil

OWN = "load generator"


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return user and system seconds so far of each process tree in `pids`, and of ourselves."""
    used = {name: sum(_cpu(member) for member in _tree(pid)) for name, pid in pids.items()}
    return {**used, OWN: _cpu(psutil.Process())}


def machine_seconds() -> float:
    """Return the CPU seconds that the whole machine has been busy."""
    times = psutil.cpu_times()
    idle: float = times.idle + getattr(times, "iowait", 0.0)
    return sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # counted with its parent's children from now on
        return 0.0
    reaped: float = times.children_user + times.children_system
    return times.user + times.system + reaped


def memory_mib(pids: Mapping[str, int]) -> tuple[dict[str, float], str]:
    """Return each tree's memory in MiB, and how it was counted.

    PSS shares pages fairly between the processes that map them, so a sum means something; where
    there is none (not Linux, or not ours to read), the sum of RSS counts shared pages repeatedly.
    """
    trees = {name: _tree(pid) for name, pid in pids.items()}
    try:
        used = {
            name: sum(member.memory_full_info().pss for member in tree)
            for name, tree in trees.items()
        }
        counted = "PSS"
    except (AttributeError, psutil.AccessDenied):
        used = {
            name: sum(member.memory_info().rss for member in tree) for name, tree in trees.items()
        }
        counted = "RSS"
    return {name: total / 2**20 for name, total in used.items()}, counted
