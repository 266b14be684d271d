"""Restore points against a real server: archive, base backups, and a recovery to a moment."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from backup.capsule.contents import count_contents
from backup.durable import LOCK
from backup.errors import BaseUnusable, DiskFull, NotCovered, ProgramFailed
from backup.restore_points import archive
from backup.restore_points.base import BaseFolder
from backup.restore_points.cluster import (
    CREATE_ROLE,
    archive_lag,
    grants,
    mark,
    what_is_wrong,
)
from backup.restore_points.point_in_time import Target
from backup.restore_points.reach import check_archive, reach_of_archive, reach_to
from backup.restore_points.wal import is_segment
from deploy.local.postgres.connection import connected
from tests.support.backed_up_cluster import (
    WITHIN_S,
    BackedUpCluster,
    backed_up_cluster,
    count,
    recovered_from_bases,
)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[BackedUpCluster]:
    async with backed_up_cluster(tmp_path) as found:
        yield found


async def test_a_second_between_two_commits_comes_back_as_it_was(
    cluster: BackedUpCluster, tmp_path: Path
) -> None:
    await cluster.add(1000)
    await cluster.take()
    await cluster.add(10)
    second = await cluster.take()
    assert second.kind == "incremental"
    moments = {await cluster.add(): await cluster.count() for _ in range(3)}
    mark = await cluster.mark()
    await cluster.add(50)

    found = reach_to(mark, second, cluster.wal)
    check_archive(found, cluster.wal)
    assert found.covers_from < min(moments)
    for number, (moment, lines) in enumerate(moments.items()):
        folder = tmp_path / f"restored-{number}"
        target = Target(moment=moment)
        async with recovered_from_bases(cluster, folder, found, target) as server:
            assert await count(server) == lines


async def test_the_quiet_seconds_at_both_ends_can_be_restored_too(
    cluster: BackedUpCluster, tmp_path: Path
) -> None:
    await cluster.add(5)
    base = await cluster.take()
    mark = await cluster.mark()  # nothing was committed between these two

    found = reach_to(mark, base, cluster.wal)
    for number, moment in enumerate((found.covers_from, found.covers_to, None)):
        folder = tmp_path / f"restored-{number}"
        target = Target(moment=moment)
        async with recovered_from_bases(cluster, folder, found, target) as server:
            assert await count(server) == 5
    with pytest.raises(NotCovered, match="this reaches from"):
        async with recovered_from_bases(
            cluster,
            tmp_path / "later",
            found,
            Target(moment=found.covers_to + timedelta(microseconds=1)),
        ):
            pass


async def test_all_that_was_archived_comes_back_when_the_database_is_gone(
    cluster: BackedUpCluster, tmp_path: Path
) -> None:
    await cluster.add(5)
    base = await cluster.take()
    await cluster.add(3)
    before_last = await cluster.add(2)
    await cluster.add(1)
    await cluster.mark()
    await cluster.postgres.process.stop()

    found = await reach_of_archive(base, cluster.wal, cluster.bases.programs)
    check_archive(found, cluster.wal)
    assert found.covers_to >= before_last
    for number, (moment, lines) in enumerate(((before_last, 10), (None, 11))):
        async with recovered_from_bases(
            cluster, tmp_path / f"restored-{number}", found, Target(moment=moment)
        ) as server:
            assert await count(server) == lines


async def test_every_so_often_a_base_backup_is_a_full_one(cluster: BackedUpCluster) -> None:
    kinds = [(await cluster.take(full_every=2)).kind for _ in range(3)]
    assert kinds == ["full", "incremental", "full"]
    assert [base.kind for base in cluster.bases.all()] == kinds


async def test_a_server_that_cannot_say_what_changed_gives_a_full_one(
    cluster: BackedUpCluster,
) -> None:
    first = await cluster.take()
    (cluster.bases.data(first) / "backup_manifest").write_text("{}")
    second = await cluster.take()
    assert second.kind == "full"
    assert "not an incremental one" in second.remark


async def test_nothing_is_built_on_a_damaged_base_backup(cluster: BackedUpCluster) -> None:
    await cluster.add(1000)
    first = await cluster.take()
    file = max(
        (cluster.bases.data(first) / "base").rglob("*"), key=lambda path: path.stat().st_size
    )
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    second = await cluster.take()
    assert (second.kind, second.parent) == ("full", None)
    assert "is damaged" in second.remark
    assert (await cluster.take()).parent == second.name


async def test_one_flipped_bit_in_any_link_of_the_chain_is_found_before_it_is_combined(
    cluster: BackedUpCluster, tmp_path: Path
) -> None:
    await cluster.add(1000)
    await cluster.take()
    await cluster.add(1000)
    second = await cluster.take()
    for link in cluster.bases.chain(second):
        data = cluster.bases.data(link)
        file = max((data / "base").rglob("*"), key=lambda path: path.stat().st_size)
        content = file.read_bytes()
        damaged = bytearray(content)
        damaged[len(damaged) // 2] ^= 4
        file.write_bytes(damaged)
        with pytest.raises(BaseUnusable, match="is damaged"):
            await cluster.bases.combine(second, tmp_path / "target", within_s=WITHIN_S)
        file.write_bytes(content)
    assert {path.name for path in cluster.bases.folder.parent.iterdir()} == {"bases", "cluster"}


async def test_a_base_backup_that_was_cut_off_leaves_nothing(cluster: BackedUpCluster) -> None:
    await cluster.take()
    with pytest.raises(ProgramFailed, match="within 0 s"):
        await cluster.bases.take(cluster.dsn, full_every=1, within_s=0.0)
    left = {path.name for path in cluster.bases.folder.iterdir()}
    assert left == {LOCK, *(base.name for base in cluster.bases.all())}


@pytest.mark.parametrize("full_every", [1, 7], ids=["full", "incremental"])
async def test_a_disk_that_is_nearly_full_is_left_to_the_database(
    cluster: BackedUpCluster, full_every: int
) -> None:
    await cluster.take()
    free = shutil.disk_usage(cluster.bases.folder).free
    careful = BaseFolder(cluster.bases.folder, cluster.bases.programs, reserve_bytes=2 * free)
    with pytest.raises(DiskFull, match="have to stay free"):
        await careful.take(cluster.dsn, full_every=full_every, within_s=WITHIN_S)
    left = {path.name for path in cluster.bases.folder.iterdir()}
    assert left == {LOCK, *(base.name for base in cluster.bases.all())}


async def test_a_role_with_the_rights_for_it_is_enough(cluster: BackedUpCluster) -> None:
    async with connected(cluster.postgres.admin_dsn()) as connection:
        await connection.execute(CREATE_ROLE.format(role="keeper", password="secret"))
        for statement in grants("keeper", ("postgres", "orders", "inventory")):
            await connection.execute(statement)

    def as_backup(database: str) -> str:
        parts = urlsplit(cluster.postgres.admin_dsn(database))
        address = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"keeper:secret@{address}"))

    dsn = as_backup("postgres")
    await cluster.bases.take(dsn, full_every=1, within_s=WITHIN_S)
    async with connected(dsn) as connection:
        assert await what_is_wrong(connection) == []
        assert await archive_lag(connection) < timedelta(seconds=60)
        made = await mark(connection, "as the role of backups")
        assert made.lsn < made.closed_lsn
    counted = await count_contents({"orders": as_backup("orders")}, {"orders": ("lines",)})
    assert counted.tables[0].rows == 0
    async with connected(as_backup("orders")) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM lines")


async def test_settings_that_make_backups_worth_less_are_named(databases_dsn: str) -> None:
    async with connected(databases_dsn) as connection:
        wrong = " ".join(await what_is_wrong(connection))
    for word in ("archive_mode", "archive_timeout", "summarize_wal"):
        assert f"{word} is" in wrong


async def test_the_lag_of_the_archive_is_seen(cluster: BackedUpCluster) -> None:
    await cluster.mark()
    hidden = cluster.wal.with_name("away")
    cluster.wal.rename(hidden)
    await cluster.add()
    async with connected(cluster.dsn) as connection:
        await connection.fetchval("SELECT pg_switch_wal()")
        lag = await archive_lag(connection)
        while not lag:
            lag = await archive_lag(connection)
    assert lag > timedelta()
    hidden.rename(cluster.wal)


async def test_an_idle_minute_takes_less_than_a_kibibyte(cluster: BackedUpCluster) -> None:
    await cluster.mark()
    for _ in range(20):
        await cluster.mark()
        newest = max(name for name in archive.names(cluster.wal) if is_segment(name))
        size = (cluster.wal / f"{newest}.zst").stat().st_size
        if size < 4096:
            break
        await asyncio.sleep(1)  # it was not idle: the autovacuum is at work on a new cluster
    assert size < 4096
    assert len(archive.read(cluster.wal, newest)) == 16 * 1024 * 1024
    shutil.rmtree(cluster.bases.folder, ignore_errors=True)
