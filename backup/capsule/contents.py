"""What the databases hold, counted in one moment, and compared after a restore.

Orders go on while it is counted, so a restored database has more rows than were seen. Of a ledger,
to which rows are only ever added, those that were seen can be told from later ones by the
transaction that wrote them: its fingerprint has to be exactly the same again.
"""

from collections.abc import Mapping, Sequence

from backup.capsule.manifest import Contents, TableState
from service_kit.postgres.connection import RawConnection, connect

_CONNECT_WITHIN_S = 10.0
_ONE_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SNAPSHOT = "SELECT pg_current_snapshot()::text"
_TABLES = """
SELECT relname::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
"""
_SCHEMA = "SELECT coalesce(max(version)::text, '') FROM schema_migrations"
_HAS_SCHEMA = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_COUNT = 'SELECT count(*) FROM "{table}"'
# xmin has 32 bits; the rest of a transaction's number follows from the snapshot, which is near.
_FINGERPRINT = """
WITH seen AS (SELECT $1::text::pg_snapshot AS snapshot,
                     pg_snapshot_xmax($1::text::pg_snapshot)::text::bigint AS newest)
SELECT count(*) AS rows, coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text AS sum
FROM seen, "{table}" AS t
WHERE pg_visible_in_snapshot(greatest(3, newest + (
    (t.xmin::text::bigint - newest % 4294967296 + 6442450944) % 4294967296 - 2147483648
))::text::xid8, snapshot)
"""


async def count_contents(dsns: Mapping[str, str], ledgers: Mapping[str, Sequence[str]]) -> Contents:
    """Count every table of these databases, by name, and take the fingerprints of the ledgers."""
    snapshots: dict[str, str] = {}
    versions: dict[str, str] = {}
    tables: list[TableState] = []
    for database, dsn in dsns.items():
        connection = await connect(dsn, _CONNECT_WITHIN_S)
        try:
            await connection.execute(_ONE_MOMENT)
            snapshots[database] = await connection.fetchval(_SNAPSHOT)
            if await connection.fetchval(_HAS_SCHEMA):
                versions[database] = await connection.fetchval(_SCHEMA)
            for row in await connection.fetch(_TABLES):
                table = row["relname"]
                tables.append(
                    await _ledger(connection, database, table, snapshots[database])
                    if table in ledgers.get(database, ())
                    else TableState(
                        database=database,
                        table=table,
                        rows=await connection.fetchval(_COUNT.format(table=table)),
                    )
                )
        finally:
            await connection.close()
    return Contents(snapshots=snapshots, schema_versions=versions, tables=tuple(tables))


async def differences(contents: Contents, dsns: Mapping[str, str]) -> list[str]:
    """Return, as sentences, what restored databases lack of what was counted.

    They have to be restored to a moment after it was counted: the end of a capsule.
    """
    found: list[str] = []
    for database, dsn in dsns.items():
        connection = await connect(dsn, _CONNECT_WITHIN_S)
        try:
            for state in contents.tables:
                if state.database == database and state.fingerprint is not None:
                    snapshot = contents.snapshots[database]
                    now = await _ledger(connection, database, state.table, snapshot)
                    if now != state:
                        found.append(
                            f"{database}.{state.table} should have the {state.rows} entries of"
                            f" fingerprint {state.fingerprint}, and has {now.rows} of"
                            f" {now.fingerprint}"
                        )
            if database in contents.schema_versions:
                version = await connection.fetchval(_SCHEMA)
                if version != contents.schema_versions[database]:
                    found.append(
                        f"the schema of {database} should be at"
                        f" {contents.schema_versions[database]}, and is at {version}"
                    )
        finally:
            await connection.close()
    return found


async def _ledger(
    connection: RawConnection, database: str, table: str, snapshot: str
) -> TableState:
    row = await connection.fetchrow(_FINGERPRINT.format(table=table), snapshot)
    assert row is not None, "an aggregate gives a row"
    return TableState(database=database, table=table, rows=row["rows"], fingerprint=row["sum"])
