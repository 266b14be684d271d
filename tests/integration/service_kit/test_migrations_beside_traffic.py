"""A migration comes while the tables are in use: it gives way, and nobody is locked out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres.connection import connected
from service_kit.postgres.migration_files import MigrationError
from service_kit.postgres.migrations import migrate
from tests.support.databases import Databases
from tests.support.order_stack import eventually

INDEX = "-- concurrently\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS by_id ON first (id);\n"


@pytest.fixture
def dsn(databases: Databases) -> Iterator[str]:
    with databases.fresh("inventory", migrated=False) as dsn:
        yield dsn


@pytest.fixture
async def folder(tmp_path: Path, dsn: str) -> Path:
    """The first file is applied."""
    (tmp_path / "0001_first.sql").write_text(
        "CREATE TABLE first (id int); INSERT INTO first VALUES (1)"
    )
    await migrate(dsn, tmp_path)
    return tmp_path


@asynccontextmanager
async def long_read(dsn: str) -> AsyncIterator[None]:
    """Read the table in a transaction that stays open."""
    reader = await asyncpg.connect(dsn)
    transaction = reader.transaction(isolation="repeatable_read")
    await transaction.start()
    await reader.fetch("SELECT * FROM first")
    yield
    await transaction.rollback()
    await reader.close()


@asynccontextmanager
async def request(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A session with a request's limits, though patient ones."""
    async with connected(dsn, server_settings={"lock_timeout": "30s"}) as connection:
        yield connection


async def columns(dsn: str) -> list[str]:
    async with request(dsn) as session:
        rows = await session.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'first'::regclass AND attnum > 0"
        )
    return [row["attname"] for row in rows]


async def index_is_valid(dsn: str) -> bool | None:
    async with request(dsn) as session:
        valid: bool | None = await session.fetchval(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('by_id')"
        )
    return valid


async def test_requests_go_on_while_a_migration_waits_for_a_long_read(
    dsn: str, folder: Path
) -> None:
    (folder / "0002_more.sql").write_text("ALTER TABLE first ADD COLUMN more int")
    said: asyncio.Queue[str] = asyncio.Queue()
    async with long_read(dsn), request(dsn) as session:
        migrating = asyncio.create_task(migrate(dsn, folder, report=said.put_nowait))
        for _ in range(2):
            # gave way at least once, and then comes again
            assert "2 (more): a table is in use; gave way" in await said.get()
            for number in range(20):
                await session.execute("INSERT INTO first VALUES ($1)", number)
        assert not migrating.done()
    assert await migrating == 2
    assert await columns(dsn) == ["id", "more"]


async def test_a_migration_that_never_gets_its_table_says_so_and_leaves_nothing(
    dsn: str, folder: Path
) -> None:
    (folder / "0002_more.sql").write_text("CREATE TABLE second (id int)")
    (folder / "0003_much_more.sql").write_text(
        "CREATE TABLE third (id int); ALTER TABLE first ADD COLUMN more int"
    )
    async with long_read(dsn):
        with pytest.raises(MigrationError, match=r"whole, at version 2\. Find the transaction"):
            await migrate(dsn, folder, table_timeout_s=0)
    assert await columns(dsn) == ["id"]
    async with request(dsn) as session:
        assert await session.fetchval("SELECT to_regclass('second')") == "second"
        assert await session.fetchval("SELECT to_regclass('third')") is None
    assert await migrate(dsn, folder) == 3


async def test_an_index_is_built_beside_the_traffic(dsn: str, folder: Path) -> None:
    (folder / "0002_index.sql").write_text(INDEX)
    async with long_read(dsn), request(dsn) as session:
        migrating = [asyncio.create_task(migrate(dsn, folder)) for _ in range(3)]

        async def is_waiting() -> bool:
            return await index_is_valid(dsn) is False

        await eventually(is_waiting)
        for number in range(2, 20):
            await session.execute("INSERT INTO first VALUES ($1)", number)
    assert await asyncio.gather(*migrating) == [2, 2, 2]
    assert await index_is_valid(dsn)


async def test_an_index_that_was_left_unfinished_is_built_anew(dsn: str, folder: Path) -> None:
    (folder / "0002_index.sql").write_text(INDEX)
    async with request(dsn) as session:
        await session.execute("INSERT INTO first VALUES (1)")
        with pytest.raises(asyncpg.UniqueViolationError):
            await migrate(dsn, folder)
        assert await index_is_valid(dsn) is False
        await session.execute("DELETE FROM first WHERE ctid = '(0,1)'")
    assert await migrate(dsn, folder) == 2
    assert await index_is_valid(dsn)
