"""Numbered SQL files, applied in order, once each, by whoever comes first."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import asyncpg

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


class MigrationError(RuntimeError):
    """The database is not at a version that these files can bring forward."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `0001_name.sql`."""

    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """Return the fingerprint that proves an applied file was not edited since."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read(folder: Path) -> list[Migration]:
    """Return the folder's migrations in order; MigrationError when a number is missing or twice."""
    found = []
    for file in sorted(folder.glob("*.sql")):
        number, _, name = file.stem.partition("_")
        if not (number.isascii() and number.isdigit() and name):
            raise MigrationError(f"{file.name} is not named like 0001_name.sql")
        found.append(Migration(int(number), name, file.read_text()))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{folder.name} is not numbered 1, 2, 3, … without gaps")
    return found


def latest(folder: Path) -> int:
    """Return the schema version that the code beside `folder` needs."""
    return len(read(folder))


async def migrate(dsn: str, folder: Path) -> int:
    """Bring the database at `dsn` to the newest version in `folder` and return that version.

    All of it is one transaction: a failing file leaves the database as it was. MigrationError
    if the database is ahead of these files, or if an applied file was edited afterwards.
    """
    migrations = read(folder)
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
            await connection.execute(_LEDGER)
            rows = await connection.fetch("SELECT version, digest FROM schema_migrations")
            applied = {row["version"]: row["digest"] for row in rows}
            _refuse_unknown(applied, migrations)
            for migration in migrations[len(applied) :]:
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (version, name, digest) VALUES ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    migration.digest,
                )
    finally:
        await connection.close()
    return len(migrations)


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


async def applied_version(connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> int:
    """Return the version of the database behind `connection`; 0 when it was never migrated."""
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return 0
    version: int = await connection.fetchval(
        "SELECT coalesce(max(version), 0) FROM schema_migrations"
    )
    return version
