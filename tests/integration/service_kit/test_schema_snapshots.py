"""What the migrations add up to, as a page that a reviewer sees change.

After a new migration::

    UPDATE_SNAPSHOTS=1 pytest tests/integration/service_kit/test_schema_snapshots.py
"""

import os
from pathlib import Path

import pytest

import inventory_api.main
import order_api.db.schema
from backup.legacy import calls
from deploy.local.postgres.connection import connected
from service_kit.postgres.migrations import migrate
from tests.support.databases import Databases, Owner

SNAPSHOTS = Path(__file__).parent / "snapshots"
MIGRATIONS = {
    "backup": calls.MIGRATIONS,
    "inventory": inventory_api.main.MIGRATIONS,
    "orders": order_api.db.schema.MIGRATIONS,
}

# From the catalogue and not by pg_dump, whose words change from one major version to the next.
COLUMNS = """
SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
       || CASE a.attidentity WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY' ELSE '' END
       || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
ORDER BY c.relname, a.attnum
"""
OPTIONS = """
SELECT relname || ' WITH (' || array_to_string(reloptions, ', ') || ')' FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reloptions IS NOT NULL
ORDER BY 1
"""
CONSTRAINTS = """
SELECT conrelid::regclass || ': ' || conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype <> 'n'  -- Postgres 18 lists NOT NULLs, too
ORDER BY 1
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
TRIGGERS = """
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1
"""
FUNCTIONS = """
SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1
"""
CHAPTERS = {
    "columns": COLUMNS,
    "table options": OPTIONS,
    "constraints": CONSTRAINTS,
    "indexes": INDEXES,
    "triggers": TRIGGERS,
    "functions": FUNCTIONS,
}


async def described(dsn: str) -> str:
    """Return the schema at `dsn` in words."""
    async with connected(dsn) as connection:
        chapters = []
        for title, query in CHAPTERS.items():
            rows = [row[0] for row in await connection.fetch(query)]
            chapters.append("\n".join([f"-- {title}", *rows]))
    return "\n\n".join(chapters) + "\n"


@pytest.mark.parametrize("owner", sorted(MIGRATIONS))
async def test_the_schema_is_the_one_that_was_reviewed(databases: Databases, owner: Owner) -> None:
    with databases.fresh(owner) as dsn:
        found = await described(dsn)
    snapshot = SNAPSHOTS / f"{owner}.sql"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        snapshot.write_text(found)
    assert found == snapshot.read_text()


@pytest.mark.parametrize("owner", sorted(MIGRATIONS))
async def test_migrating_again_changes_nothing(databases: Databases, owner: Owner) -> None:
    with databases.fresh(owner) as dsn:
        before = await described(dsn)
        version = await migrate(dsn, MIGRATIONS[owner])
        assert version == len(list(MIGRATIONS[owner].glob("*.sql")))
        assert await described(dsn) == before
