"""Patched processes: Python with another clock, newer workflow code, or impatient backups.

This folder is put on their path, and its sitecustomize runs before their own first line.
"""

from pathlib import Path

CLOCK_TURNED = "CLOCK_TURNED"
WORKFLOW_RELEASE = "WORKFLOW_RELEASE"
IMPATIENT_BACKUPS = "IMPATIENT_BACKUPS"
_ALTERED = {"PYTHONPATH": str(Path(__file__).parent)}


def turned(turns: str) -> dict[str, str]:
    """Return the environment in which a Python process has its clock turned.

    `turns` is a list of `SECONDS@UPTIME`: by how much the clock is off, from which second of the
    process's life on. "3600@0 -3600@5" is an hour ahead and jumps to an hour behind.
    """
    return {**_ALTERED, CLOCK_TURNED: turns}


def released(number: int) -> dict[str, str]:
    """Return the environment in which a worker has the workflow code of a later release."""
    return {**_ALTERED, WORKFLOW_RELEASE: str(number)}


def impatient() -> dict[str, str]:
    """Return the environment in which backups try again after seconds, and not after minutes."""
    return {**_ALTERED, IMPATIENT_BACKUPS: "true"}
