"""Schema migrations: numbered SQL files, applied in order and once each.

A migration must not lock out orders. Whoever queues for a table's exclusive lock makes everybody
behind it wait, too; so each file waits a tenth of a second at most, gives way, and comes again.
A file whose first line is `-- concurrently` builds indexes on big tables beside the traffic.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from service_kit.postgres.connection import RawConnection, connect
from service_kit.postgres.migration_files import Migration, MigrationError, read

if TYPE_CHECKING:
    from service_kit.postgres.pool import Connection

# One key for all: two services never share a database, and within one the runs must queue.
_LOCK_KEY = 7_235_109

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    digest     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_APPLIED = "INSERT INTO schema_migrations (version, name, digest) VALUES ($1, $2, $3)"
_IS_INVALID = "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"
_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)\s+ON ")

# Below the limit at which a request gives up waiting for a lock (0.2 s in inventory).
LOCK_TIMEOUT_S = 0.1
PAUSE_S = 1.0
NOTICE_AFTER_S = 5.0
# Long enough for a backup or a report to end; then a person has to look.
TABLE_TIMEOUT_S = 600.0
_CONNECT_S = 10.0
_BUSY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

Report = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Tell whoever watches the migration how it goes."""
    sys.stderr.write(f"migrate: {line}\n")
    sys.stderr.flush()


def latest(folder: Path) -> int:
    """Return the schema version that the code beside `folder` needs."""
    return len(read(folder))


async def migrate(
    dsn: str, folder: Path, *, table_timeout_s: float = TABLE_TIMEOUT_S, report: Report = to_stderr
) -> int:
    """Bring the database at `dsn` to the newest version in `folder` and return that version.

    Each file is one transaction: what fails leaves nothing of itself behind, and what came before
    it stays. MigrationError if the database is ahead of these files, if an applied file was edited
    afterwards, or if a table stayed in use for `table_timeout_s` seconds.
    """
    migrations = read(folder)
    connection = await connect(
        dsn,
        _CONNECT_S,
        server_settings={
            "application_name": "migrate",
            "lock_timeout": f"{round(LOCK_TIMEOUT_S * 1000)}ms",
            # limits of the role are meant for requests; an index may take its time
            "statement_timeout": "0",
            "idle_in_transaction_session_timeout": "0",
        },
    )
    try:
        await _wait_for_turn(connection, report)
        await connection.execute(_LEDGER)
        rows = await connection.fetch("SELECT version, digest FROM schema_migrations")
        applied = {row["version"]: row["digest"] for row in rows}
        _refuse_unknown(applied, migrations)
        for migration in migrations[len(applied) :]:
            step = _apply_concurrently if migration.concurrently else _apply_in_transaction
            await _apply_when_free(connection, migration, step, table_timeout_s, report)
    finally:
        await connection.close()
    return len(migrations)


async def _wait_for_turn(connection: RawConnection, report: Report) -> None:
    """Have the one lock of all runs, until the connection ends.

    Asked for again and again, and not waited for: an index that is built concurrently waits for
    every statement that is older, so a run waiting inside one would wait in a circle with it.
    """
    waiting = False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):
        if not waiting:
            report("another run is at work on this database; waiting for it to end")
        waiting = True
        await asyncio.sleep(PAUSE_S / 10)


async def _apply_when_free(
    connection: RawConnection,
    migration: Migration,
    step: Callable[[RawConnection, Migration, Report], Awaitable[None]],
    table_timeout_s: float,
    report: Report,
) -> None:
    """Apply a file; give way to whoever uses its tables, and come again until patience is over."""
    clock = asyncio.get_running_loop().time
    gives_up_at = clock() + table_timeout_s
    while True:
        try:
            await step(connection, migration, report)
        except _BUSY:
            if clock() >= gives_up_at:
                raise MigrationError(
                    f"Migration {migration.version} ({migration.name}) did not get its table for "
                    f"{table_timeout_s:.0f} s: somebody reads or writes it in one long "
                    f"transaction. The database is whole, at version {migration.version - 1}. "
                    "Find the transaction in pg_stat_activity (oldest xact_start), end it, "
                    "migrate again."
                ) from None
            report(
                f"{migration.version} ({migration.name}): a table is in use; gave way, "
                f"will try again for {max(gives_up_at - clock(), 0):.0f} s"
            )
            await asyncio.sleep(PAUSE_S)
        else:
            return


async def _apply_in_transaction(connection: RawConnection, migration: Migration, _: Report) -> None:
    """Apply a file and note it down, in one transaction."""
    async with connection.transaction():
        await connection.execute(migration.sql)
        await _mark_applied(connection, migration)


async def _apply_concurrently(
    connection: RawConnection, migration: Migration, report: Report
) -> None:
    """Build or drop indexes without locking anybody out, and note it down when all are done.

    What an interrupted run has built is kept, what it has left unfinished is dropped first. These
    statements lock nobody out while they wait, so they may wait for as long as it takes.
    """
    name = f"{migration.version} ({migration.name})"
    notice = asyncio.get_running_loop().call_later(
        NOTICE_AFTER_S,
        report,
        f"{name}: indexes are built beside the traffic; this may take minutes",
    )
    await connection.execute("SET lock_timeout = 0")
    try:
        for statement in migration.statements:
            built = _INDEX.match(statement)
            if built and await connection.fetchval(_IS_INVALID, built[1]):
                await connection.execute(f"DROP INDEX CONCURRENTLY {built[1]}")
            await connection.execute(statement)
        await _mark_applied(connection, migration)
    finally:
        notice.cancel()
        if not connection.is_closed():
            await connection.execute("RESET lock_timeout")


async def _mark_applied(connection: RawConnection, migration: Migration) -> None:
    await connection.execute(_APPLIED, migration.version, migration.name, migration.digest)


def _refuse_unknown(applied: dict[int, str], migrations: list[Migration]) -> None:
    if len(applied) > len(migrations):
        raise MigrationError(
            f"The database is at version {len(applied)}, this program knows {len(migrations)}. "
            "Nothing was changed. Start the newer program, or restore the older database."
        )
    for migration in migrations[: len(applied)]:
        if migration.version not in applied:
            raise MigrationError(
                f"The database's list of migrations has a gap at {migration.version}. "
                "Nothing was changed. Restore the table schema_migrations from a backup."
            )
        if applied[migration.version] != migration.digest:
            raise MigrationError(
                f"Migration {migration.version} ({migration.name}) was edited after it had been "
                "applied. Nothing was changed. Undo the edit and add a new file instead."
            )


async def applied_version(connection: "Connection") -> int:
    """Return the version of the database behind `connection`; 0 when it was never migrated."""
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return 0
    version: int = await connection.fetchval(
        "SELECT coalesce(max(version), 0) FROM schema_migrations"
    )
    return version
