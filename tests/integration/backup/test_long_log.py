"""A recovery that reads hundreds of files of the log, each with one line and many zeros."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backup.capsule.manifest import SealedCapsule
from backup.capsule.open import OpenedCapsule, open_capsule
from backup.errors import ProgramFailed
from backup.restore.prove import RestoreProver, looked_at
from backup.restore.rows import count_rows
from backup.restore_points import archive
from backup.restore_points.cluster import mark
from backup.restore_points.point_in_time import Target
from backup.restore_points.read_ahead import ReadAhead
from backup.trail_folder import TrailFolder
from deploy.local.postgres.connection import connected
from deploy.local.recovery import LocalRecoveryServers
from tests.support.backed_up_cluster import WITHIN_S
from tests.support.trail.restorable import DATABASES, seal, shop

pytestmark = pytest.mark.timeout(600)

FILES = 80
RAW = ".raw"
# Histories, the ends of timelines, and the first files before the reader is at work.
FEW = 25
A_LINE = "INSERT INTO lines SELECT coalesce(max(n), 0) + 1, 'a line' FROM lines"


@dataclass
class LongLog:
    """A capsule with a long log, the key to it, and how many lines there are at its end."""

    trail: TrailFolder
    capsule: SealedCapsule
    lines: int

    def opened(self, folder: Path) -> OpenedCapsule:
        return open_capsule(self.capsule, self.trail.secret_key(), folder / "opened")


async def _made(folder: Path) -> LongLog:
    trail = TrailFolder(folder / "trail")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "archive_command", _copied)
        async with shop(folder / "home", trail) as cluster:
            packing = asyncio.create_task(_pack(cluster.wal))
            await cluster.take()
            async with connected(cluster.dsn) as connection:
                for _ in range(FILES):
                    await connection.execute(A_LINE)
                    await mark(connection, "half a minute")
            made = LongLog(trail, await seal(cluster, trail), await cluster.count())
            packing.cancel()
    return made


def _copied(wal: Path) -> str:
    """Leave it to us to pack a file: an interpreter for each would take this test minutes."""
    raw, copying = f'{wal}/"%f"{RAW}', f'{wal}/"%f".copying'
    return f'cp "%p" {copying} && mv {copying} {raw}'


async def _pack(wal: Path) -> None:
    def pack_all() -> None:
        # In their order, as a server archives: who sees the last one takes all to be there.
        for file in sorted(wal.glob(f"*{RAW}")):
            archive.push(file, file.name.removesuffix(RAW), wal)
            file.unlink()

    while True:
        await asyncio.to_thread(pack_all)
        await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LongLog:
    return asyncio.run(_made(tmp_path_factory.mktemp("long")))


Started = Callable[[], list[str]]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Return the names of the files for which a server has started an interpreter so far."""
    file, python = tmp_path / "started", tmp_path / "python"
    file.touch()
    file.chmod(0o666)
    python.write_text(f'#!/bin/sh\necho "$5" >>{file}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    real = archive.restore_command

    def counting(wal: Path, _: Path | None, *, last: str = "", ahead: Path | None = None) -> str:
        return real(wal, python, last=last, ahead=ahead)

    monkeypatch.setattr(archive, "restore_command", counting)
    return lambda: file.read_text().splitlines()


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.rglob("log-ahead"))
    assert "read ahead" not in {thread.name for thread in threading.enumerate()}


async def test_a_proof_starts_no_interpreter_for_most_files(
    made: LongLog, started: Started, tmp_path: Path, nothing_left: None
) -> None:
    prover = RestoreProver(
        LocalRecoveryServers(WITHIN_S),
        made.trail.secret_key,
        tmp_path / "scratch",
        DATABASES,
        WITHIN_S,
        reserve_bytes=0,
    )
    proof = await prover.proven(made.capsule)
    assert proof.differences == ()
    assert len(started()) <= FEW, started()


@pytest.mark.full
async def test_a_reader_that_has_died_costs_time_and_nothing_else(
    made: LongLog,
    started: Started,
    tmp_path: Path,
    nothing_left: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = made.opened(tmp_path)
    reach = opened.manifest.reach
    late, dead, step = reach.segments()[-FEW], threading.Event(), ReadAhead.step

    def until_late(reader: ReadAhead) -> bool:
        if (reader.folder / late).exists():
            dead.set()
        return not dead.is_set() and step(reader)

    monkeypatch.setattr(ReadAhead, "step", until_late)
    servers = LocalRecoveryServers(WITHIN_S)
    async with looked_at(opened, reach, Target(), servers) as server:
        assert (await count_rows(server.admin_dsn("orders")))["lines"] == made.lines
    assert reach.segments()[-1] in started()


async def test_damage_in_the_middle_ends_a_recovery_and_is_named(
    made: LongLog, tmp_path: Path, nothing_left: None
) -> None:
    opened = made.opened(tmp_path)
    reach = opened.manifest.reach
    name = reach.segments()[FILES // 2]
    kept = opened.wal / f"{name}{archive.SUFFIX}"
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    with pytest.raises(ProgramFailed, match=f"the archived log file {name} is damaged"):
        async with looked_at(opened, reach, Target(), LocalRecoveryServers(WITHIN_S)):
            pass


async def test_a_recovery_that_is_broken_off_leaves_no_reader(
    made: LongLog, tmp_path: Path, nothing_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_way, step = asyncio.Event(), ReadAhead.step
    loop = asyncio.get_running_loop()
    opened = made.opened(tmp_path)
    middle = opened.manifest.reach.segments()[FILES // 2]

    def watched(reader: ReadAhead) -> bool:
        if (reader.folder / middle).exists():
            loop.call_soon_threadsafe(half_way.set)
        return step(reader)

    monkeypatch.setattr(ReadAhead, "step", watched)

    async def recover() -> None:
        async with looked_at(
            opened, opened.manifest.reach, Target(), LocalRecoveryServers(WITHIN_S)
        ):
            pytest.fail("nobody broke it off")

    recovery = asyncio.create_task(recover())
    await half_way.wait()
    recovery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recovery
