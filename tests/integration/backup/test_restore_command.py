"""The command `valerix restore` as a person runs it on an empty host, and what it says."""

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup.durable import PARTIAL
from backup.trail_folder import TrailFolder
from deploy.local.errors import StartRefused
from deploy.local.postgres.connection import connected
from deploy.local.schema import migrate_and_seed
from deploy.local.state_dir import StateDir, StateDirLock
from deploy.restore import RestoreSettings, bring_back
from tests.support.command_line import CommandLine
from tests.support.trail.restorable import killed, seal, shop

pytestmark = pytest.mark.timeout(600)

_SKUS = "SELECT count(*) FROM stock"


@dataclass
class Lost:
    """A shop whose home was deleted after its server was killed."""

    command: CommandLine
    home: Path
    trail: TrailFolder
    moment: datetime
    skus: int


@pytest.fixture
async def lost(tmp_path: Path) -> AsyncIterator[Lost]:
    home = tmp_path / "home"
    trail = TrailFolder(tmp_path / "home-backup")
    async with shop(home, trail) as cluster:
        await migrate_and_seed(cluster.postgres.dsn)
        await cluster.take()
        moment = await cluster.add()
        await seal(cluster, trail)
        async with connected(cluster.postgres.admin_dsn("inventory")) as connection:
            skus = await connection.fetchval(_SKUS)
        await killed(cluster)
    shutil.rmtree(home)
    async with CommandLine(home, backups=True) as command:
        command.within_s = 500.0
        yield Lost(command, home, trail, moment, skus)


async def test_one_line_brings_the_shop_back_and_says_so(lost: Lost) -> None:
    code, said = await lost.command.run("restore", "--dry-run")
    assert code == 0, said
    assert "Nothing was changed" in said
    assert not StateDir(lost.home).folder.exists()

    at, day = lost.moment + timedelta(milliseconds=1), datetime.now(UTC).date()
    code, said = await lost.command.run("restore", "--at", at.isoformat())
    assert code == 0, said
    for part in (
        f"everything committed up to {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "From the archive of cluster",
        "Lost: whatever was committed in the",
        "Violations left: 0",
        "make up",
    ):
        assert part in said
    days = {day, datetime.now(UTC).date()}
    assert any(f"The legacy call of {one} counts as made" in said for one in days)
    assert "VALERIX_HOME" not in said
    async with shop(lost.home, lost.trail) as cluster:
        assert await cluster.count() == 1
        async with connected(cluster.postgres.admin_dsn("inventory")) as connection:
            assert await connection.fetchval(_SKUS) == lost.skus

    code, said = await lost.command.run("restore")
    assert code == 1
    assert "has data already: postgres" in said
    other = lost.home.with_name("other")
    capsule = next(lost.trail.capsules.glob("*.capsule"))
    code, said = await lost.command.run("restore", "--from", str(capsule), "--to", str(other))
    assert code == 0, said
    assert f"VALERIX_HOME={other} make up" in said


async def test_the_volume_of_a_container_is_brought_back_and_never_written_over(
    lost: Lost, tmp_path: Path
) -> None:
    data = tmp_path / "volume" / "18" / "docker"
    settings = RestoreSettings(PGDATA=data, BACKUP_HOME=lost.trail.folder)
    restored = await bring_back(settings, "archive", None, say=lambda _: None)
    assert not restored.differences
    assert restored.rows["inventory"]["stock"] == lost.skus
    assert (data / "PG_VERSION").exists()
    assert "recovery_target" not in (data / "postgresql.auto.conf").read_text()
    assert [entry.name for entry in data.parent.iterdir()] == ["docker"], "nothing half-made"

    with pytest.raises(StartRefused, match="has data already"):
        await bring_back(settings, "archive", None, say=lambda _: None)


async def test_what_cannot_be_restored_is_refused_in_a_sentence(lost: Lost) -> None:
    for arguments, problem in {
        ("--at", "2026-11-26T05:12:33"): "has no time zone",
        ("--at", "2020-01-01T00:00:00Z"): "is not in here",
        ("--from", "nas"): "there is no 'nas' to restore from",
        ("--from", "/not/there.capsule"): "there is no capsule at /not/there.capsule",
        ("--from", "copies"): "the store copies has no copies",
    }.items():
        code, said = await lost.command.run("restore", *arguments)
        assert code == 1
        assert problem in said
        assert "kept: " in said
        assert "next: " in said
        assert "Traceback" not in said
        assert not StateDir(lost.home).folder.exists()

    lock = StateDirLock(StateDir(lost.home).create())
    lock.acquire()
    code, said = await lost.command.run("restore")
    lock.release()
    assert code == 1
    assert "a stack is running in" in said


async def test_a_restore_that_was_killed_is_swept_up_by_the_next(lost: Lost) -> None:
    beside_its_server = "looking at what is back"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.trail.killed_restore"),
        *(beside_its_server, "restore"),
        env=lost.command.env,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == -signal.SIGKILL
    left = {path.name for path in StateDir(lost.home).folder.iterdir()}
    assert any(name.endswith(PARTIAL) for name in left)
    assert "postgres" not in left
    code, said = await lost.command.run("restore")
    assert code == 0, said
    assert not any(path.name.endswith(PARTIAL) for path in StateDir(lost.home).folder.iterdir())
    async with shop(lost.home, lost.trail) as cluster:
        assert await cluster.count() == 1


async def test_the_life_of_a_restore_that_was_killed_at_its_end_is_not_taken_for_the_newest(
    lost: Lost,
) -> None:
    """Its log is in the archive, and it has seen nothing but that restore: of an earlier second."""
    at = next(lost.trail.capsules.glob("*.json")).read_text()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.trail.killed_restore"),
        *("putting everything in its place", "restore", "--at", json.loads(at)["covers_from"]),
        env=lost.command.env,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == -signal.SIGKILL
    assert [file.name for file in lost.trail.clusters.glob("*/wal/00000002.history*")]
    code, said = await lost.command.run("restore")
    assert code == 0, said
    assert "the life on timeline 2 was passed over" in said
    async with shop(lost.home, lost.trail) as cluster:
        assert await cluster.count() == 1


async def test_a_capsule_is_proven_and_every_store_rehearsed_by_command(lost: Lost) -> None:
    code, said = await lost.command.run("backup", "prove")
    assert code == 0, said
    assert "is proven: a restore of it brought everything back" in said
    code, said = await lost.command.run("backup", "drill")
    assert code == 1
    assert "copies: nothing could be restored: it has no copies yet" in said
    code, said = await lost.command.run("backup", "prove", "1999-12-31")
    assert code == 1
    assert "there is no capsule '1999-12-31'" in said
