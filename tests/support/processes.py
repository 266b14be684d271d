"""What processes get to run, whether they are there, and waiting until they are not."""

import asyncio
import os
import time

import psutil


def bare_environment(**variables: str) -> dict[str, str]:
    """Return `variables`, and of the terminal's what any process needs, or is measured by."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "PATH" or name.startswith("COVERAGE_")
    }
    return {**kept, **variables}


async def wait_until_gone(pids: list[int], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while alive := [pid for pid in pids if runs(pid)]:
        assert time.monotonic() < deadline, f"still running: {alive}"
        await asyncio.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
