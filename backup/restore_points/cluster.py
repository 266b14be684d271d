"""What backups ask of the running cluster: its identity, settings, clock, and marks in its log."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel

from backup.errors import ArchiveIncomplete
from backup.restore_points import archive
from backup.restore_points.wal import Lsn, parse_lsn, segment_name
from service_kit.postgres.connection import RawConnection

_POLL_INTERVAL_S = 0.1
MARK_PREFIX = "backup"
# The label of the mark with which a restore begins the new life in the archive.
RESTORED = "restored"

# The role of backups reads everything and changes nothing. pg_monitor: the state of the archiver.
GRANTS = (
    "GRANT pg_read_all_data, pg_monitor TO {role}",
    "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {role}",
)
CREATE_ROLE = "CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{password}'"
LET_IN = "GRANT CONNECT ON DATABASE {database} TO {role}"

_IDENTITY = """
SELECT system_identifier::text, current_setting('server_version_num')::int AS server_version_num,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size') AS segment_bytes,
       clock_timestamp() AS now
FROM pg_control_system()
"""
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)"
_TABLESPACES = "SELECT count(*) FROM pg_tablespace WHERE spcname NOT LIKE 'pg\\_%'"
# In a transaction with a number, so that its commit is in the log; the clock is read before that.
_MARK = f"SELECT clock_timestamp() AS at, pg_logical_emit_message(true, '{MARK_PREFIX}', $1) AS lsn"
_POSITION = "SELECT pg_current_wal_insert_lsn()::text"
_CLOSE = "SELECT pg_logical_emit_message(false, 'backup', 'closed')::text"
_FILE = "SELECT pg_walfile_name($1::text::pg_lsn)"
_SWITCH = "SELECT pg_switch_wal()"
_LAG = """
SELECT clock_timestamp() - min(modification)
FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'
"""
_TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
_ARCHIVER = "SELECT last_archived_time, last_failed_time FROM pg_stat_archiver"

MAX_ARCHIVE_TIMEOUT_S = 60


class Cluster(BaseModel, frozen=True):
    """Which cluster this is, and how it cuts its log."""

    system_identifier: str
    server_version: int
    segment_bytes: int
    now: datetime

    @property
    def major(self) -> int:
        """The major version: 18."""
        return self.server_version // 10_000


class Mark(BaseModel, frozen=True):
    """A place in the log that everything committed before `at` is in front of.

    A recovery to any moment up to `at` finds a later commit there, at which it knows that it is
    done. Without one it would end with an error: a quiet second could not be restored.
    """

    at: datetime
    # Everything committed up to `at` is in front of this.
    lsn: Lsn
    # There is a record between these two, at which a recovery to `lsn` stops.
    closed_lsn: Lsn
    timeline: int


async def identify(connection: RawConnection) -> Cluster:
    """Return who the cluster is."""
    row = await connection.fetchrow(_IDENTITY)
    assert row is not None, "a function without a table gives a row"
    return Cluster(
        system_identifier=row["system_identifier"],
        server_version=row["server_version_num"],
        segment_bytes=row["segment_bytes"],
        now=row["now"],
    )


async def timeline_now(connection: RawConnection) -> int:
    """Return which of its lives the cluster is in: a restore begins another one."""
    return int(await connection.fetchval(_TIMELINE), 16)


async def what_is_wrong(connection: RawConnection) -> list[str]:
    """Return what about the cluster's settings would make backups worth less, as sentences."""
    wanted = (
        "archive_mode",
        "archive_timeout",
        "full_page_writes",
        "summarize_wal",
        "wal_level",
        "data_checksums",
        "archive_command",
        "archive_library",
    )
    rows = await connection.fetch(_SETTINGS, list(wanted))
    found = {row["name"]: row["setting"] for row in rows}
    wrong = []
    if found["archive_mode"] == "off":
        wrong.append("archive_mode is off: nothing since the last base backup could be restored")
    elif not (found["archive_command"] or found.get("archive_library")):
        wrong.append("archive_command is empty: the log is kept until the disk is full")
    if not 0 < int(found["archive_timeout"]) <= MAX_ARCHIVE_TIMEOUT_S:
        wrong.append(
            f"archive_timeout is not between 1 and {MAX_ARCHIVE_TIMEOUT_S} s: a lost disk"
            " loses more than a minute"
        )
    if found["wal_level"] == "minimal":
        wrong.append("wal_level is minimal: the log does not hold all changes")
    if found["full_page_writes"] == "off":
        wrong.append("full_page_writes is off: pages can be torn in a base backup")
    if found.get("summarize_wal", "off") == "off":
        wrong.append("summarize_wal is off: each base backup is a full one")
    if found["data_checksums"] == "off":
        wrong.append("data checksums are off: damaged pages are copied unnoticed")
    if await connection.fetchval(_TABLESPACES):
        wrong.append("there are tablespaces: only the data folder itself is backed up")
    return wrong


async def mark(connection: RawConnection, label: str) -> Mark:
    """Commit a mark, close the file of the log that it is in, and return where it is."""
    row = await connection.fetchrow(_MARK, label)
    assert row is not None, "a SELECT without a table gives a row"
    lsn = await connection.fetchval(_POSITION)
    closed_lsn = await connection.fetchval(_CLOSE)
    file = await connection.fetchval(_FILE, closed_lsn)
    await connection.execute(_SWITCH)
    # The commit comes after the clock was read: whatever is asked for has to be before that.
    return Mark(
        at=row["at"] - timedelta(microseconds=1),
        lsn=parse_lsn(lsn),
        closed_lsn=parse_lsn(closed_lsn),
        timeline=int(file[:8], 16),
    )


async def wait_archived(made: Mark, folder: Path, segment_bytes: int, *, within_s: float) -> None:
    """Wait until the log is archived up to the mark."""
    name = segment_name(made.timeline, (made.closed_lsn - 1) // segment_bytes, segment_bytes)
    try:
        async with asyncio.timeout(within_s):
            # the archiver has no way to tell anybody
            while not archive.has(folder, name):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_INTERVAL_S)
    except TimeoutError as error:
        raise ArchiveIncomplete(
            f"the log file {name} was not archived within {within_s:.0f} s: look for"
            " archive_command in the log of Postgres"
        ) from error


async def archive_lag(connection: RawConnection) -> timedelta:
    """Return for how long the oldest closed file of the log waits to be archived.

    What a lost disk loses is this, or the file that is being written: see `open_log.OpenLog`.
    """
    lag: timedelta | None = await connection.fetchval(_LAG)
    return max(lag or timedelta(), timedelta())


async def last_archived(connection: RawConnection) -> tuple[datetime | None, bool]:
    """Return when a file of the log was archived last, and whether one has failed since."""
    row = await connection.fetchrow(_ARCHIVER)
    assert row is not None, "a view of one row"
    archived, failed = row["last_archived_time"], row["last_failed_time"]
    return archived, failed is not None and (archived is None or failed > archived)


def grants(role: str, databases: Sequence[str]) -> list[str]:
    """Return the statements that let a role make backups; names are ours, not a stranger's.

    They have to be run in the database whose address is used for base backups and marks: rights to
    functions are each database's own. `databases` are that one and all whose tables are counted.
    """
    return [statement.format(role=role) for statement in GRANTS] + [
        LET_IN.format(role=role, database=database) for database in databases
    ]
