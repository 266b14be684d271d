"""A restore, from a source to a folder that a server can be started on, with a life of its own.

The log of the new life goes to the archive last of all, when everything else was right: a restore
that failed must not look like the newest life of the cluster.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import BaseModel

from backup.capsule.contents import differences
from backup.restore.moment import in_words
from backup.restore.rows import count_rows
from backup.restore.server import RecoveredServer, RecoveryServers
from backup.restore.sources import LaidOut, Offer, Say, Source
from backup.restore.spend import spend_call
from backup.restore_points import archive
from backup.restore_points.cluster import RESTORED, identify, mark, wait_archived
from backup.restore_points.point_in_time import hold_archiving, prepare
from backup.trail_folder import TrailFolder
from service_kit.postgres.connection import connect

CLAIMS_DATABASE = "backup"
_CONNECT_WITHIN_S = 10.0
_ARCHIVED_WITHIN_S = 120.0
_ARCHIVE = "ALTER SYSTEM SET archive_command = {command}"
_AS_IT_WAS = ("ALTER SYSTEM RESET archive_command", "ALTER SYSTEM RESET archive_mode")
_RELOAD = "SELECT pg_reload_conf()"
_QUOTED = "SELECT quote_literal($1)"


class Restored(BaseModel, frozen=True):
    """What is back. Without `differences` it is all that the source was sealed with."""

    offer: Offer
    # By database and table.
    rows: Mapping[str, Mapping[str, int]]
    differences: tuple[str, ...]
    call_spent_of: date
    seconds: float


async def restore(
    source: Source,
    at: datetime | None,
    into: Path,
    *,
    servers: RecoveryServers,
    trail: TrailFolder,
    databases: Sequence[str],
    say: Say,
) -> Restored:
    """Bring the databases back in `into`: `data`, and `passwords` of all roles.

    `into` is an empty folder of the caller's, to be deleted by him if this raises. `trail` is the
    folder in which the restored cluster goes on being backed up. `databases` are those whose
    tables are counted.
    """
    began = time.monotonic()
    laid = await source.lay_out(at, into)
    prepare(laid.data, laid.wal, laid.reach, laid.target, archiving=True)
    hold_archiving(laid.data)
    say(f"reading the log up to {in_words(laid.offer.up_to)}, by Postgres itself")
    async with servers.recovered(into, laid.wal, laid.reach.segments(), trail) as server:
        say("looking at what is back")
        missing = await _missing(laid, server, databases)
        rows = {name: await count_rows(server.admin_dsn(name)) for name in databases}
        say("spending today's legacy call, which may have been made and forgotten")
        today = datetime.now(UTC).date()
        await spend_call(server.admin_dsn(CLAIMS_DATABASE), trail.claims, today)
        say("archiving the first log of its new life")
        await _begin_archiving(server, trail)
    return Restored(
        offer=laid.offer,
        rows=rows,
        differences=tuple(missing),
        call_spent_of=today,
        seconds=time.monotonic() - began,
    )


async def _missing(laid: LaidOut, server: RecoveredServer, databases: Sequence[str]) -> list[str]:
    if laid.contents is None:
        return []
    return await differences(laid.contents, {name: server.admin_dsn(name) for name in databases})


async def _begin_archiving(server: RecoveredServer, trail: TrailFolder) -> None:
    """Have the new life in the archive up to now; from here on it is the newest one."""
    connection = await connect(server.admin_dsn(CLAIMS_DATABASE), _CONNECT_WITHIN_S)
    try:
        cluster = await identify(connection)
        wal = trail.wal(cluster.system_identifier)
        quoted = await connection.fetchval(_QUOTED, archive.archive_command(wal))
        await connection.execute(_ARCHIVE.format(command=quoted))
        await connection.execute(_RELOAD)
        made = await mark(connection, RESTORED)
        await wait_archived(made, wal, cluster.segment_bytes, within_s=_ARCHIVED_WITHIN_S)
        for statement in _AS_IT_WAS:
            await connection.execute(statement)
    finally:
        await connection.close()
