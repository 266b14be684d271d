"""Circumstances of a measurement: machine, versions, and what a power cut would cost."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from deploy.local.postgres.binaries import find_binaries
from deploy.local.settings import PROJECT
from deploy.local.temporal.server import find_temporal

_PACKAGES = ("temporalio", "asyncpg", "fastapi", "uvicorn", "aiohttp", "pydantic", "uvloop")


def circumstances(temporal_synchronous: str) -> dict[str, Any]:
    """Return what a reader has to know to compare these figures with others."""
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _answer("git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"),
        "durability": {
            "Postgres": "fsync on, synchronous_commit on",
            "Temporal": f"SQLite file, WAL, synchronous {temporal_synchronous}",
        },
        "machine": {
            "CPU": _cpu_model(),
            "cores": os.cpu_count(),
            "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
            "postgres": find_binaries().version,
            "temporal": _answer(str(find_temporal()), "--version").removeprefix(
                "temporal version "
            ),
        },
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _answer(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
