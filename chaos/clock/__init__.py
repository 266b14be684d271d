"""Other clocks for processes of a fault run; this folder is put on their path, see `turned`."""

from pathlib import Path

VARIABLE = "CLOCK_TURNED"


def turned(turns: str) -> dict[str, str]:
    """Return the environment in which a Python process has its clock turned.

    `turns` is a list of `SECONDS@UPTIME`: by how much the clock is off, from which second of the
    process's life on. "3600@0 -3600@5" is an hour ahead and jumps to an hour behind.
    """
    return {"PYTHONPATH": str(Path(__file__).parent), VARIABLE: turns}
