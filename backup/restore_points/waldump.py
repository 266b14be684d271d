"""What Postgres's own program reads in an archived file of the log: commits, and marks of ours."""

import asyncio
import re
import tempfile
from datetime import datetime
from pathlib import Path

from backup.restore_points import archive
from backup.restore_points.cluster import MARK_PREFIX
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.wal import Lsn, parse_lsn

_COMMIT = re.compile(
    r"lsn: ([\dA-F]+/[\dA-F]+), .*desc: (?:COMMIT|ABORT)(?:_PREPARED)? .*?"
    r"(\d{4}-\d\d-\d\d [\d:.]+) UTC"
)
_MESSAGE = re.compile(r'lsn: ([\dA-F]+/[\dA-F]+), .*prefix "(.*?)"; payload .*?: ([\dA-F ]*)$')
_WITHIN_S = 60.0


async def commits_in(
    name: str, wal: Path, programs: PostgresPrograms
) -> list[tuple[Lsn, datetime]]:
    """Return place and moment of each transaction that ends in a file of the log, in its order."""
    return [
        (parse_lsn(found.group(1)), datetime.fromisoformat(f"{found.group(2)}+00:00"))
        for found in map(_COMMIT.search, await _lines("Transaction", name, wal, programs))
        if found
    ]


async def mark_in(name: str, label: str, wal: Path, programs: PostgresPrograms) -> Lsn | None:
    """Return where the first mark with this label is in a file of the log, None if there is none.

    A transaction that commits it follows.
    """
    meant = (MARK_PREFIX, label.encode())
    for found in map(_MESSAGE.search, await _lines("LogicalMessage", name, wal, programs)):
        if found and (found.group(2), bytes.fromhex(found.group(3))) == meant:
            return parse_lsn(found.group(1))
    return None


async def _lines(kind: str, name: str, wal: Path, programs: PostgresPrograms) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        await asyncio.to_thread(archive.fetch, name, file, wal)
        # It ends with an error where the log does, within the file.
        said = await programs.run(
            "pg_waldump", f"--rmgr={kind}", str(file), within_s=_WITHIN_S, may_fail=True
        )
    return said.splitlines()
