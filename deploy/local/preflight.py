"""Preflight checks: all that can be known to go wrong before the first process is started."""

import shutil
import sys
from pathlib import Path

from deploy.local.errors import StartRefused
from deploy.local.ports import holder_of, is_taken
from deploy.local.settings import MIN_FREE_DISK_BYTES

_NOTHING = "nothing was started or changed"
_OLDEST_PYTHON = (3, 11)


def python_is_new_enough(version: tuple[int, ...] = sys.version_info[:2]) -> None:
    """Refuse an old Python. Make sees to it first; this is for who starts us some other way."""
    if version < _OLDEST_PYTHON:
        wanted = ".".join(map(str, _OLDEST_PYTHON))
        raise StartRefused(
            problem=f"this is Python {'.'.join(map(str, version))}, {wanted} or newer is needed",
            kept=_NOTHING,
            remedy=f"install Python {wanted}+ and start again with: make clean up",
        )


def disk_has_room(folder: Path, needed: int = MIN_FREE_DISK_BYTES) -> None:
    """Refuse a full disk: a database that runs out of it during a start is hard to mend."""
    place = next(part for part in (folder, *folder.parents) if part.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise StartRefused(
            problem=f"only {free // 2**20} MB are free for {folder}, {needed // 2**20} MB are"
            " the least that is safe",
            kept=_NOTHING,
            remedy="make room, or set VALERIX_HOME to a folder on another disk",
        )


def ports_are_free(wanted: dict[str, int]) -> None:
    """Refuse ports that are taken, naming all of them; `wanted` is by environment variable."""
    taken = [(name, port) for name, port in wanted.items() if is_taken(port)]
    if not taken:
        return
    lines = []
    for name, port in taken:
        holder = holder_of(port)
        lines.append(f"port {port} is taken" + (f" by {holder}" if holder else "") + f" ({name})")
    first, port = taken[0]
    other = port + 10_000 if port < 55_536 else port - 10_000
    raise StartRefused(
        problem="\n".join(lines),
        kept=_NOTHING,
        remedy=f"stop what listens there, or choose others, for example: {first}={other} make up",
    )
