"""A Postgres whose log is archived, with a table that a line is added to, and copies of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from backup.durable import made_folder
from backup.restore_points import archive
from backup.restore_points.base import BaseBackup, BaseFolder
from backup.restore_points.cluster import Cluster, Mark, identify, mark, wait_archived
from backup.restore_points.point_in_time import Target, prepare
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.reach import Reach
from deploy.local.postgres.connection import connected
from deploy.local.postgres.server import EmbeddedPostgres

WITHIN_S = 250.0
TABLE = "CREATE TABLE lines (n bigint PRIMARY KEY, filler text NOT NULL)"
_ADD = """
INSERT INTO lines
SELECT n, repeat(md5(n::text), 20) FROM generate_series(
    (SELECT coalesce(max(n), 0) + 1 FROM lines),
    (SELECT coalesce(max(n), 0) + $1 FROM lines)
) AS n
"""
_COUNT = "SELECT count(*) FROM lines"


class BackedUpCluster:
    """A running cluster with an archive and a folder of base backups."""

    def __init__(self, postgres: EmbeddedPostgres, wal: Path, bases: BaseFolder) -> None:
        self.postgres = postgres
        self.wal = wal
        self.bases = bases

    @property
    def dsn(self) -> str:
        """The address of the database with the lines."""
        return self.postgres.admin_dsn("orders")

    async def add(self, lines: int = 1) -> datetime:
        """Add lines in one transaction; return a moment after its commit, before the next one."""
        async with connected(self.dsn) as connection:
            await connection.execute(_ADD, lines)
            moment: datetime = await connection.fetchval("SELECT clock_timestamp()")
            await asyncio.sleep(0.002)  # a clock that stands still for a moment separates nothing
        return moment

    async def count(self) -> int:
        return await count(self.postgres)

    async def cluster(self) -> Cluster:
        async with connected(self.dsn) as connection:
            return await identify(connection)

    async def take(self, *, full_every: int = 7) -> BaseBackup:
        return await self.bases.take(self.dsn, full_every=full_every, within_s=WITHIN_S)

    async def mark(self) -> Mark:
        """Mark the log and wait until it is archived up to there."""
        async with connected(self.dsn) as connection:
            made = await mark(connection, "test")
            size = (await identify(connection)).segment_bytes
        await wait_archived(made, self.wal, size, within_s=WITHIN_S)
        return made


@asynccontextmanager
async def backed_up_cluster(
    folder: Path,
) -> AsyncIterator[BackedUpCluster]:
    """Run a cluster with a database of lines, whose log goes to a folder beside it."""
    postgres = EmbeddedPostgres(folder / "cluster", fsync=False, runs_python=True)
    await postgres.prepare()
    wal = postgres.folder / "wal"
    wal.mkdir(mode=0o700)
    postgres.give(wal)
    with (postgres.data / "postgresql.conf").open("a") as settings:
        settings.write(archiving_settings(wal))
    programs = PostgresPrograms(postgres.binaries.folder)
    async with postgres:
        async with connected(postgres.admin_dsn("orders")) as connection:
            await connection.execute(TABLE)
        yield BackedUpCluster(
            postgres, wal, BaseFolder(folder / "bases", programs, reserve_bytes=0)
        )


def archiving_settings(wal: Path) -> str:
    return (
        "\narchive_mode = on"
        f"\narchive_command = '{archive.archive_command(wal)}'"
        "\narchive_timeout = 60"
        "\nsummarize_wal = on\n"
    )


async def count(postgres: EmbeddedPostgres) -> int:
    async with connected(postgres.admin_dsn("orders")) as connection:
        found: int = await connection.fetchval(_COUNT)
        return found


@asynccontextmanager
async def recovered(
    original: BackedUpCluster, folder: Path, wal: Path, found: Reach, target: Target
) -> AsyncIterator[EmbeddedPostgres]:
    """Run a second server on `folder`/data, brought to the target, which archives nothing."""
    server = EmbeddedPostgres(folder, fsync=False, runs_python=True)
    prepare(server.data, wal, found, target, archiving=False)
    shutil.copy(original.postgres.folder / "passwords", folder / "passwords")
    server.give(server.data, wal)
    async with server:
        yield server


@asynccontextmanager
async def recovered_from_bases(
    original: BackedUpCluster, folder: Path, found: Reach, target: Target
) -> AsyncIterator[EmbeddedPostgres]:
    made_folder(folder)
    await original.bases.combine(found.base, folder / "data", within_s=WITHIN_S)
    async with recovered(original, folder, original.wal, found, target) as server:
        yield server
