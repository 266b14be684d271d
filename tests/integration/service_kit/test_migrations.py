"""Migrations on a real database: side by side, half-way, ahead, edited, behind."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres.connection import connected
from service_kit.postgres import database_health, pool
from service_kit.postgres.migration_files import MigrationError
from service_kit.postgres.migrations import migrate
from tests.support.databases import Databases


@pytest.fixture
def dsn(databases: Databases) -> Iterator[str]:
    with databases.fresh("inventory", migrated=False) as dsn:
        yield dsn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id int);")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (id int);")
    return tmp_path


async def tables(dsn: str) -> set[str]:
    async with connected(dsn) as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {row["tablename"] for row in rows}


async def test_ten_at_once_apply_each_file_once(dsn: str, folder: Path) -> None:
    assert await asyncio.gather(*(migrate(dsn, folder) for _ in range(10))) == [2] * 10
    assert await tables(dsn) == {"first", "second", "schema_migrations"}


async def test_a_file_that_fails_leaves_the_database_as_it_was(dsn: str, folder: Path) -> None:
    (folder / "0003_third.sql").write_text("CREATE TABLE third (id int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(dsn, folder)
    assert await tables(dsn) == {"first", "second", "schema_migrations"}
    (folder / "0003_third.sql").write_text("CREATE TABLE third (id int)")
    assert await migrate(dsn, folder) == 3


async def test_a_new_file_is_added_to_the_old_ones(dsn: str, folder: Path) -> None:
    await migrate(dsn, folder)
    (folder / "0003_third.sql").write_text("CREATE TABLE third (id int)")
    assert await migrate(dsn, folder) == 3
    assert "third" in await tables(dsn)


async def test_a_database_ahead_of_the_program_is_left_alone(dsn: str, folder: Path) -> None:
    await migrate(dsn, folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match=r"version 2, this program knows 1\. Nothing was"):
        await migrate(dsn, folder)


async def test_an_applied_file_that_was_edited_is_refused(dsn: str, folder: Path) -> None:
    await migrate(dsn, folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE first (id bigint);")
    (folder / "0003_third.sql").write_text("CREATE TABLE third (id int)")
    with pytest.raises(MigrationError, match=r"Migration 1 \(first\) was edited"):
        await migrate(dsn, folder)
    assert "third" not in await tables(dsn)


async def test_a_ledger_with_a_gap_is_refused(dsn: str, folder: Path) -> None:
    await migrate(dsn, folder)
    async with connected(dsn) as connection:
        await connection.execute("DELETE FROM schema_migrations WHERE version = 1")
    with pytest.raises(MigrationError, match="gap"):
        await migrate(dsn, folder)


@pytest.mark.parametrize(
    ("needs", "status", "output"),
    [
        (2, "pass", ""),
        (3, "fail", "at version 2, needs 3"),
        (1, "warn", "at version 2, knows 1"),
    ],
)
async def test_health_tells_a_schema_that_is_behind_from_one_that_is_ahead(
    dsn: str, folder: Path, needs: int, status: str, output: str
) -> None:
    await migrate(dsn, folder)
    connections = await pool.create(
        dsn, name="test", size=2, lock_timeout_s=30, statement_timeout_s=30
    )
    probes = database_health.probes(connections, ("first", "second", "third"), needs)
    schema, found = await probes["postgres:schema"](), await probes["postgres:tables"]()
    connections.terminate()
    assert (schema.status, schema.output) == (status, output)
    assert (found.status, found.output) == ("fail", "missing: third")


async def test_a_database_that_was_never_migrated_is_at_version_nothing(dsn: str) -> None:
    connections = await pool.create(
        dsn, name="test", size=2, lock_timeout_s=30, statement_timeout_s=30
    )
    found = await database_health.probes(connections, (), 1)["postgres:schema"]()
    connections.terminate()
    assert (found.status, found.output) == ("fail", "at version 0, needs 1")
