"""Order events and cursors that a dump has brought into another cluster, whose ids began anew."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from deploy.local.postgres.connection import connected
from deploy.local.schema import migrate_and_seed
from deploy.migrate import MigrateSettings
from deploy.migrate import migrate_databases as migrate_and_adopt
from tests.support import third_party_subscribers
from tests.support.databases import Databases
from tests.support.own_cluster import passes, tell, written

# more than a new cluster has used up by the time that a dump is in
BURN = "DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
POSITIONS = """
SELECT e.seq FROM order_events e, subscriber_cursors c
WHERE c.subscriber = $1 AND (e.tx, e.seq) > (c.tx, c.seq) ORDER BY e.tx, e.seq
"""
FOREIGN = "SELECT events_of_another_cluster()"


@pytest.fixture
def restored_dsn(own_cluster: Databases) -> Iterator[str]:
    with own_cluster.fresh("orders", migrated=False) as found:
        yield found


@pytest.fixture
async def restored(restored_dsn: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    async with connected(restored_dsn) as connection:
        yield connection


async def tell_crosswise(dsn: str) -> list[int]:
    """Commit two events whose numbers stand the other way round than their transactions."""
    first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    async with first.transaction():
        await first.fetchval("SELECT pg_current_xact_id()")
        numbers = await tell(second, "received")
        numbers += await tell(first, "received")
    await first.close()
    await second.close()
    return numbers


async def move(postgres: Databases, source: str, target: str) -> None:
    """Dump the database at `source` and restore it at `target`, as anybody would."""
    program = postgres.postgres.binaries.program
    dump = await asyncio.create_subprocess_exec(
        program("pg_dump"), "--format=custom", source, stdout=asyncio.subprocess.PIPE
    )
    content, _ = await dump.communicate()
    assert dump.returncode == 0
    restore = await asyncio.create_subprocess_exec(
        program("pg_restore"),
        "--no-owner",
        "--exit-on-error",
        f"--dbname={target}",
        stdin=asyncio.subprocess.PIPE,
    )
    await restore.communicate(content)
    assert restore.returncode == 0


async def test_subscribers_go_on_after_a_dump_was_restored_into_another_cluster(
    orders_database: str,
    restored_dsn: str,
    restored: "asyncpg.Connection[Any]",
    own_cluster: Databases,
    tmp_path: Path,
) -> None:
    """Each event that was not taken before the dump is taken once, no other one again."""
    source = await asyncpg.connect(orders_database)
    await source.execute(BURN)
    numbers = await tell_crosswise(orders_database)
    async with third_party_subscribers.running(orders_database, tmp_path):
        await written(source, numbers)
    numbers += await tell_crosswise(orders_database)
    await move(own_cluster, orders_database, restored_dsn)
    await source.close()
    assert await restored.fetchval(FOREIGN)
    numbers += await tell(restored, "received", "shipped")  # orders come in before anybody looks
    async with third_party_subscribers.running(restored_dsn, tmp_path) as address:
        await written(restored, numbers)
        await passes(address, "subscriber:notifications")
        numbers += await tell(restored, "received")
        await written(restored, numbers)
    assert not await restored.fetchval(FOREIGN)


CURSOR = """
INSERT INTO subscriber_cursors SELECT $1::text, tx, seq FROM order_events WHERE seq = $2
"""


async def unread(connection: "asyncpg.Connection[Any]", name: str) -> list[int]:
    return [row["seq"] for row in await connection.fetch(POSITIONS, name)]


@pytest.mark.parametrize("way", ["make up", "the image"])
async def test_migrating_takes_restored_events_over_and_moves_no_cursor(
    orders_database: str,
    restored_dsn: str,
    restored: "asyncpg.Connection[Any]",
    inventory_database: str,
    backup_database: str,
    own_cluster: Databases,
    way: str,
) -> None:
    """Cursors at every place: before the first event, between, and behind the last."""
    source = await asyncpg.connect(orders_database)
    await source.execute(BURN)
    for _ in range(4):
        await tell_crosswise(orders_database)
    seqs = [row["seq"] for row in await source.fetch("SELECT seq FROM order_events")]
    for seq in seqs:
        await source.execute(CURSOR, f"at {seq}", seq)
    await source.execute("INSERT INTO subscriber_cursors (subscriber) VALUES ('new')")
    names = [row[0] for row in await source.fetch("SELECT subscriber FROM subscriber_cursors")]
    before = {name: set(await unread(source, name)) for name in names}
    await move(own_cluster, orders_database, restored_dsn)
    await source.close()
    [written_since] = await tell(restored, "received")

    if way == "make up":
        addresses = {
            "orders": restored_dsn,
            "inventory": inventory_database,
            "backup": backup_database,
        }
        await migrate_and_seed(addresses.__getitem__)
    else:
        settings = MigrateSettings(
            orders_database_url=SecretStr(restored_dsn),
            inventory_database_url=SecretStr(inventory_database),
        )
        await migrate_and_adopt(settings, seed=False)

    assert not await restored.fetchval(FOREIGN)
    for name in names:
        found = await unread(restored, name)
        assert set(found) == before[name] | {written_since}
        assert found[-1] == written_since, "what is new comes after all that was restored"
    with pytest.raises(asyncpg.RestrictViolationError):
        await restored.execute("UPDATE order_events SET type = 'forged'")


async def test_events_at_home_are_left_alone(orders_database: str) -> None:
    async with connected(orders_database) as connection:
        await tell(connection, "received")
        before = await connection.fetch("SELECT * FROM order_events")
        assert await connection.fetchval("SELECT adopt_restored_events()") == 0
        assert await connection.fetch("SELECT * FROM order_events") == before
