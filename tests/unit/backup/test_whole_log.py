"""Where an archived log ends that has a damaged file, a stranger's or none, and what is said."""

from datetime import timedelta
from pathlib import Path

import pytest

from backup.errors import ArchiveIncomplete
from backup.restore_points import archive
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.reach import Reach, reach_of_archive
from backup.restore_points.wal import TimelineSwitch, segment_name
from backup.restore_points.whole_log import whole_log
from tests.support.small_capsules import FIRST, LAST, MIDNIGHT, SEGMENT, add_segment, reach

FORK = 5 * SEGMENT + 1000


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    folder = tmp_path / "wal"
    folder.mkdir()
    for number in range(FIRST, LAST + 1):
        add_segment(folder, number)
    return folder


@pytest.fixture
def programs(tmp_path: Path) -> PostgresPrograms:
    """A pg_waldump that finds a commit at minute N in the N-th file, and is not given others."""
    waldump = tmp_path / "programs" / "pg_waldump"
    waldump.parent.mkdir()
    waldump.write_text(
        "#!/bin/sh\n"
        'n=$(printf %s "$2" | tail -c 1)\n'
        'echo "rmgr: Transaction lsn: 0/${n}0010, prev 0/0, desc: COMMIT'
        ' 2026-03-01 00:0$n:00.000000 UTC"\n'
    )
    waldump.chmod(0o700)
    return PostgresPrograms(waldump.parent)


def minute(number: int) -> timedelta:
    return timedelta(minutes=number) - timedelta(microseconds=1)


def harm(wal: Path, number: int, kind: str, timeline: int = 1) -> str:
    name = segment_name(timeline, number, SEGMENT)
    file = wal / f"{name}{archive.SUFFIX}"
    if kind == "damaged":
        file.write_bytes(file.read_bytes()[:-1])
        return f"log file {name} is damaged"
    file.unlink()
    if kind == "missing":
        return f"log file {name} is missing"
    add_segment(wal, number, system=78, timeline=timeline)
    return f"log file {name} is of another cluster"


async def looked_up(wal: Path, programs: PostgresPrograms) -> tuple[Reach, str]:
    return await whole_log(await reach_of_archive(reach().base, wal, programs), wal, programs)


async def test_a_whole_log_ends_where_it_ends(wal: Path, programs: PostgresPrograms) -> None:
    found, problem = await looked_up(wal, programs)
    assert (found.closed_lsn, problem) == ((LAST + 1) * SEGMENT, "")
    assert found.covers_to == MIDNIGHT + minute(LAST)


@pytest.mark.parametrize("kind", ["damaged", "missing", "of a stranger"])
async def test_a_log_ends_before_the_first_file_that_cannot_be_read(
    wal: Path, programs: PostgresPrograms, kind: str
) -> None:
    said = harm(wal, LAST - 1, kind)
    found, problem = await looked_up(wal, programs)
    assert said in problem
    assert found.segments()[-1] == segment_name(1, LAST - 2, SEGMENT)
    assert found.covers_to == MIDNIGHT + minute(LAST - 2)


@pytest.mark.parametrize("kind", ["damaged", "missing", "of a stranger"])
async def test_without_the_log_of_a_base_backup_itself_there_is_nothing(
    wal: Path, programs: PostgresPrograms, kind: str
) -> None:
    said = harm(wal, FIRST, kind)
    with pytest.raises(ArchiveIncomplete, match=said):
        await looked_up(wal, programs)


async def test_where_a_life_cannot_be_reached_its_former_one_is_what_there_is(
    wal: Path, programs: PostgresPrograms
) -> None:
    """A recovery that stops before the place where its life begins must not be told to go there."""
    for number in (5, 6):
        add_segment(wal, number, timeline=2)
    switch = TimelineSwitch(timeline=1, lsn=FORK)
    whole = reach().model_copy(update={"timeline": 2, "history": (switch,), "end_lsn": None})
    assert [name[:8] for name in whole.segments()] == ["00000001"] * 2 + ["00000002"] * 2
    for number, timeline in ((5, 2), (4, 1)):
        harm(wal, number, "damaged", timeline)
        found, _ = await whole_log(whole, wal, programs)
        assert (found.timeline, found.history) == (1, ())
        assert found.closed_lsn == number * SEGMENT
        assert found.segments()[-1] == segment_name(1, number - 1, SEGMENT)
