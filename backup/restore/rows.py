"""Every row of a database, read once: pages are checked by their checksums on the way."""

from service_kit.postgres.connection import connect

_CONNECT_WITHIN_S = 10.0
_TABLES = """
SELECT quote_ident(relname) AS name FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
"""
_COUNT = "SELECT count(*) FROM {table}"


async def count_rows(dsn: str) -> dict[str, int]:
    """Return how many rows each table of a database has."""
    connection = await connect(dsn, _CONNECT_WITHIN_S)
    try:
        tables = [row["name"] for row in await connection.fetch(_TABLES)]
        return {table: await connection.fetchval(_COUNT.format(table=table)) for table in tables}
    finally:
        await connection.close()
