"""A started server hands over its log in time, also if nobody asks it for anything else."""

import signal
from pathlib import Path

import pytest

from backup.restore_points import archive
from backup.trail_folder import TrailFolder
from deploy.local.postgres import archiving
from tests.support.backed_up_cluster import BackedUpCluster
from tests.support.order_stack import eventually
from tests.support.trail.restorable import shop

# A small part of the time between two checkpoints, each of which would do.
WITHIN_S = 120.0


@pytest.fixture(autouse=True)
def every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "_ARCHIVE_TIMEOUT", "1s")


async def is_archived_in_time(cluster: BackedUpCluster) -> None:
    before = set(archive.names(cluster.wal))
    await cluster.add()

    async def more() -> bool:
        return set(archive.names(cluster.wal)) > before

    await eventually(more, WITHIN_S)


@pytest.mark.timeout(600)
async def test_a_server_that_was_stopped_archives_in_time_again(tmp_path: Path) -> None:
    home, trail = tmp_path / "home", TrailFolder(tmp_path / "trail")
    for _ in range(2):
        async with shop(home, trail) as cluster:
            await is_archived_in_time(cluster)


@pytest.mark.timeout(600)
async def test_a_server_that_was_killed_archives_in_time_again(tmp_path: Path) -> None:
    async with shop(tmp_path / "home", TrailFolder(tmp_path / "trail")) as cluster:
        await is_archived_in_time(cluster)
        cluster.postgres.process.kill(signal.SIGKILL)
        await cluster.postgres.process.wait_ready()
        await is_archived_in_time(cluster)
