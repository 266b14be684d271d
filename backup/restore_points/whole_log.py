"""How much of an archived log can be read, where a file of it is damaged, missing or a stranger's.

A recovery must not meet such a file: it would take it for the end, or give up. What lies before it
is as good as ever, so the log ends there, and whoever asked is told.
"""

import asyncio
from pathlib import Path

from backup.errors import ArchiveIncomplete
from backup.restore_points import archive
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.reach import HEADER_BYTES, Reach, is_missing, up_to_last_commit
from backup.restore_points.wal import is_segment, segment_name, segment_number


async def whole_log(found: Reach, wal: Path, programs: PostgresPrograms) -> tuple[Reach, str]:
    """Read every file of the log; return how far it is whole, and what is wrong with the next one.

    That is empty where the log simply ends. Raises `ArchiveIncomplete` if a file is not whole
    without which the base backup is of no use.
    """
    bad = await asyncio.to_thread(_first_bad, found, wal)
    if bad is None:
        return found, _gap_behind(found, wal)
    name, problem = bad
    part = found.before(name)
    if part is None:
        raise problem
    return await up_to_last_commit(part, wal, programs), str(problem)


def _first_bad(found: Reach, wal: Path) -> tuple[str, ArchiveIncomplete] | None:
    for name in found.segments():
        try:
            found.check_segment(name, archive.read(wal, name)[:HEADER_BYTES])
        except FileNotFoundError:
            return name, is_missing(name)
        except ArchiveIncomplete as problem:
            return name, problem
    return None


def _gap_behind(found: Reach, wal: Path) -> str:
    """Say which file is missing where the log of a life goes on behind a gap."""
    size = found.base.cluster.segment_bytes
    following = (found.closed_lsn - 1) // size + 1
    goes_on = any(
        segment_number(name, size) > following
        for name in archive.names(wal)
        if is_segment(name) and int(name[:8], 16) == found.timeline
    )
    missing = segment_name(found.timeline, following, size)
    return str(is_missing(missing)) if goes_on else ""
