"""The file of the log that is being written, of a real server: how old it is, and who closes it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from backup.legacy.calls import LegacyCalls
from backup.legacy.claim_folder import ClaimFolder
from backup.restore_points import archive, open_log
from backup.restore_points.open_log import OpenLog
from backup.status import TrailStatus
from backup.trail_folder import TrailFolder
from deploy.local.postgres.connection import connected
from tests.support.backed_up_cluster import WITHIN_S, BackedUpCluster, backed_up_cluster
from tests.support.database_checks import until
from tests.support.trail.claims_site import open_pool

# Where Postgres writes in its file: behind the header, if there is nothing in it.
BYTES_IN_FILE = "SELECT ((pg_current_wal_insert_lsn() - '0/0') % (16 * 1024 * 1024))::int"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[BackedUpCluster]:
    async with backed_up_cluster(tmp_path) as found:
        yield found


async def test_a_log_file_that_the_server_does_not_close_is_closed(
    cluster: BackedUpCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_log, "_LATE", 0.02)  # 1.2 s of the minute after which a server would
    log = OpenLog()
    async with connected(cluster.dsn) as connection:
        await cluster.mark()
        await log.look(connection)
        before = set(archive.names(cluster.wal))
        await cluster.add()
        ages = []

        async def is_archived() -> bool:
            ages.append(await log.look(connection))
            await log.close_late(connection)
            return set(archive.names(cluster.wal)) > before

        await until(is_archived, WITHIN_S, "the file with the line")
    assert max(ages) >= timedelta(seconds=1.2)


async def test_a_log_that_nobody_commits_to_is_not_late(cluster: BackedUpCluster) -> None:
    next_one = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
    async with connected(cluster.dsn) as connection:
        while True:
            log = OpenLog()
            await log.look(connection)
            before = await connection.fetchval(next_one)
            await connection.execute("CHECKPOINT")  # which is logged, too
            age = await log.look(connection)
            if await connection.fetchval(next_one) == before:
                break  # else the autovacuum of a new cluster is at work
    assert age == timedelta()


async def test_a_file_that_was_closed_between_two_looks_leaves_an_empty_one(
    cluster: BackedUpCluster,
) -> None:
    async with connected(cluster.dsn) as connection:
        while True:
            log = OpenLog()
            await log.look(connection)
            await cluster.add()
            await connection.execute("SELECT pg_switch_wal()")  # as the server does by itself
            await asyncio.sleep(0.3)
            age = await log.look(connection)
            if await connection.fetchval(BYTES_IN_FILE) == 40:
                break  # else the server has logged something for itself
        later = await log.look(connection)
    assert (age, later) == (timedelta(), timedelta())


async def test_a_late_look_counts_from_itself_and_has_the_file_closed(
    cluster: BackedUpCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_log, "_LONG_PAUSE_S", 0.5)
    log = OpenLog()
    async with connected(cluster.dsn) as connection:
        await cluster.mark()
        await log.look(connection)
        before = set(archive.names(cluster.wal))
        await cluster.add()
        await asyncio.sleep(0.6)
        assert await log.look(connection) == timedelta()
        await log.close_late(connection)

    async def is_archived() -> bool:
        return set(archive.names(cluster.wal)) > before

    await until(is_archived, WITHIN_S, "the file with the line")


async def test_the_lag_is_known_also_if_the_file_cannot_be_closed(
    cluster: BackedUpCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_log, "_LATE", 0.0)
    monkeypatch.setattr(open_log, "_CLOSE", "SELECT 1 / 0")
    trail = TrailFolder(tmp_path / "trail")
    pool = await open_pool(cluster.dsn)
    status = TrailStatus(pool, LegacyCalls(pool), ClaimFolder(trail.claims), trail, [])
    try:
        await status.look()
        await cluster.add()
        await asyncio.sleep(0.1)
        archived = (await status.look()).archive
    finally:
        pool.terminate()
    assert archived.lag_seconds is not None
    assert archived.lag_seconds >= 0.1
    assert any("cannot be closed" in problem for problem in archived.problems)
