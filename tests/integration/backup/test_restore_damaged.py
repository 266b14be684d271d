"""A restore from a trail that is damaged: what is whole comes back, and the rest is named."""

from pathlib import Path

import pytest

from backup.errors import ArchiveConflict, BackupProblem, NotCovered
from backup.restore_points import archive
from backup.restore_points.base import BaseFolder
from backup.restore_points.wal import is_segment
from deploy.cli.restore import restore_to
from deploy.local.recovery import LocalRecoveryServers
from tests.support.backed_up_cluster import WITHIN_S
from tests.support.trail.restorable import Backups, shop

pytestmark = pytest.mark.timeout(600)


def names_in(folder: Path) -> set[str]:
    """Return what is in a folder, nothing if it is not there."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def wal_of(backups: Backups) -> Path:
    return next(backups.trail.clusters.glob("*/wal"))


def segments(backups: Backups) -> list[str]:
    return [name for name in archive.names(wal_of(backups)) if is_segment(name)]


def log_file(backups: Backups, name: str) -> Path:
    return wal_of(backups) / f"{name}{archive.SUFFIX}"


def damage_base(backups: Backups, number: int) -> None:
    """Flip a bit of a page of the base backup that was taken as the number-th."""
    folder = wal_of(backups).with_name("bases")
    bases = BaseFolder(folder, LocalRecoveryServers(WITHIN_S).programs)
    pages = bases.data(bases.all()[number]).glob("base/*/*")
    flip(max(pages, key=lambda file: file.stat().st_size))


async def lines_after(backups: Backups, home: Path) -> int:
    async with shop(home, backups.trail) as cluster:
        return await cluster.count()


@pytest.mark.parametrize("where", ["in the capsule", "behind the capsule"])
async def test_a_capsule_brings_its_end_back_whichever_log_file_is_damaged(
    backups: Backups, home: Path, where: str
) -> None:
    """Also one behind its end, for which a server asks ahead of its time."""
    in_capsule = (await backups.source("copies").check(None)).reach.segments()
    behind = [name for name in segments(backups) if name > in_capsule[-1]]
    harmed = in_capsule if where == "in the capsule" else behind
    assert harmed
    for name in harmed:
        flip(log_file(backups, name))
    restored = await restore_to(backups.place(home), "copies", None)
    assert restored.rows["orders"]["lines"] == backups.sealed_lines
    assert restored.differences == ()
    mended = " ".join(restored.offer.notes)
    for name in harmed:
        if where == "in the capsule":
            assert f"log file {name} was damaged in the archive: it was replaced" in mended
            archive.read(wal_of(backups), name)
        else:
            assert name not in mended
    assert await lines_after(backups, home) == backups.sealed_lines


async def test_a_log_file_of_other_content_is_not_replaced(
    backups: Backups, home: Path, tmp_path: Path
) -> None:
    name = (await backups.source("copies").check(None)).reach.segments()[0]
    log_file(backups, name).unlink()
    stranger = tmp_path / "stranger"
    stranger.write_bytes(b"of another cluster")
    archive.push(stranger, name, wal_of(backups))
    with pytest.raises(ArchiveConflict):
        await restore_to(backups.place(home), "copies", None)
    assert archive.read(wal_of(backups), name) == b"of another cluster"


async def test_moments_before_the_damage_come_back_from_the_archive(
    backups: Backups, home: Path
) -> None:
    moment, lines = backups.moments[1]
    last = segments(backups)[-1]
    flip(log_file(backups, last))
    restored = await restore_to(backups.place(home), "archive", moment)
    assert restored.offer.up_to == moment
    assert f"log file {last} is damaged" in restored.offer.notes[0]
    assert await lines_after(backups, home) == lines


async def test_a_moment_behind_the_damage_is_refused_with_the_last_one_there_is(
    backups: Backups, home: Path
) -> None:
    last = segments(backups)[-1]
    flip(log_file(backups, last))
    with pytest.raises(NotCovered, match=f"ends at .*: the archived log file {last} is damaged"):
        await restore_to(backups.place(home), "archive", backups.moments[4][0])
    assert not names_in(home)


@pytest.mark.parametrize("harm", ["damaged", "missing"])
async def test_without_a_moment_all_up_to_the_damage_comes_back_and_it_is_said(
    backups: Backups, home: Path, harm: str
) -> None:
    last = segments(backups)[-1]
    file = log_file(backups, last)
    if harm == "damaged":
        flip(file)
    else:
        behind = f"{last[:-2]}{int(last[-2:], 16) + 1:02X}"
        file.rename(log_file(backups, behind))
    offer = await backups.source("archive").check(None)
    restored = await restore_to(backups.place(home), "archive", None)
    assert restored.offer.notes == offer.notes
    assert f"{last} is {harm}" in restored.offer.notes[0]
    assert "ends at" in restored.offer.notes[0]
    assert restored.offer.up_to < backups.moments[3][0]
    assert restored.rows["orders"]["lines"] == backups.sealed_lines
    assert await lines_after(backups, home) == backups.sealed_lines


@pytest.mark.parametrize("number", [3, None])
async def test_a_damaged_base_backup_is_passed_over_for_the_one_before(
    backups: Backups, home: Path, number: int | None
) -> None:
    moment, lines = backups.moments[-1 if number is None else number]
    damage_base(backups, -1)
    target = None if number is None else moment
    offer = await backups.source("archive").check(target)
    restored = await restore_to(backups.place(home), "archive", target)
    assert restored.offer.notes == offer.notes
    assert "was passed over: the base backup in" in restored.offer.notes[0]
    assert await lines_after(backups, home) == lines


async def test_without_any_whole_base_backup_it_is_refused_and_nothing_is_left(
    backups: Backups, home: Path
) -> None:
    damage_base(backups, 0)  # on which the second one builds
    for moment in (None, backups.moments[-1][0]):
        with pytest.raises(BackupProblem, match="no base backup of that time can be used"):
            await restore_to(backups.place(home), "archive", moment)
        assert not names_in(home)
