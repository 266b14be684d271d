"""A small shop that was backed up for a while and then killed: its trail, and what it held when."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from backup.capsule.make import make_capsule
from backup.capsule.manifest import SealedCapsule
from backup.restore.sources import Source
from backup.restore_points.base import BaseFolder
from backup.restore_points.programs import PostgresPrograms
from backup.stores.folder import FolderStore
from backup.trail_folder import TrailFolder
from deploy.cli.restore import RestorePlace
from deploy.local.postgres.connection import connected
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.recovery import LocalRecoveryServers
from deploy.local.state_dir import StateDir
from tests.support.backed_up_cluster import TABLE, WITHIN_S, BackedUpCluster

DAY = date(2026, 3, 1)
DATABASES = ("orders",)
_HAS_TABLE = "SELECT to_regclass('lines') IS NOT NULL"


@dataclass
class Backups:
    """A trail, and how many lines there were at which moments: the last of them is the end."""

    trail: TrailFolder
    moments: list[tuple[datetime, int]]
    capsule: SealedCapsule
    # How many lines the capsule has at its end.
    sealed_lines: int

    def copied(self, folder: Path) -> "Backups":
        """Return the same in a folder of its own, to be changed."""
        shutil.copytree(self.trail.folder, folder)
        trail = TrailFolder(folder)
        path = trail.capsules / self.capsule.path.name
        return Backups(
            trail, self.moments, self.capsule.model_copy(update={"path": path}), self.sealed_lines
        )

    def place(self, home: Path) -> RestorePlace:
        return RestorePlace(home, self.trail, self.trail)

    def source(self, name: str) -> Source:
        servers = LocalRecoveryServers(WITHIN_S)
        return self.place(self.trail.folder / "unused").sources(servers, _quiet).named(name)


@asynccontextmanager
async def shop(home: Path, trail: TrailFolder) -> AsyncIterator[BackedUpCluster]:
    """Run the database of a home as `make up` does, with a table of lines."""
    state_dir = StateDir(home).create()
    async with EmbeddedPostgres(
        state_dir.postgres,
        logs=state_dir.logs,
        passwords=state_dir.secrets / "postgres",
        trail=trail.folder,
        fsync=False,
    ) as postgres:
        async with connected(postgres.admin_dsn("orders")) as connection:
            if not await connection.fetchval(_HAS_TABLE):
                await connection.execute(TABLE)
        assert postgres.wal is not None
        programs = PostgresPrograms(postgres.binaries.folder)
        bases = BaseFolder(postgres.wal.with_name("bases"), programs, reserve_bytes=0)
        yield BackedUpCluster(postgres, postgres.wal, bases)


async def seal(
    cluster: BackedUpCluster, trail: TrailFolder, *earlier: SealedCapsule
) -> SealedCapsule:
    return await make_capsule(
        day=DAY,
        dsn=cluster.dsn,
        databases={"orders": cluster.dsn},
        ledgers={"orders": ("lines",)},
        bases=cluster.bases,
        wal=cluster.wal,
        folder=trail.capsules,
        earlier=earlier,
        recipients=[trail.public_key()],
        within_s=WITHIN_S,
        reserve_bytes=0,
    )


async def backed_up_and_killed(folder: Path) -> Backups:
    """Back a shop up, go on for a while, and kill it in the middle of a line not archived yet."""
    trail = TrailFolder(folder / "trail")
    moments: list[tuple[datetime, int]] = []
    async with shop(folder / "home", trail) as cluster:
        await cluster.add(5)
        await cluster.take()
        await _live(cluster, moments)
        capsule = await seal(cluster, trail)
        sealed_lines = await cluster.count()
        await FolderStore("copies", trail.copies, reserve_bytes=0).put(capsule)
        await cluster.take()
        await _live(cluster, moments)
        await cluster.mark()
        await cluster.add(100)
        await killed(cluster)
    shutil.rmtree(folder / "home")
    return Backups(trail, moments, capsule, sealed_lines)


async def killed(cluster: BackedUpCluster) -> None:
    """Kill the server, and do not let it come up again."""
    cluster.postgres.process.kill(signal.SIGKILL)
    await cluster.postgres.process.stop()


async def _live(cluster: BackedUpCluster, moments: list[tuple[datetime, int]]) -> None:
    for _ in range(3):
        moment = await cluster.add(10)
        await asyncio.sleep(0.01)
        moments.append((moment, await cluster.count()))


def _quiet(_: str) -> None:
    """Be who is told of progress."""
