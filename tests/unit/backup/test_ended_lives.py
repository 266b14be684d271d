"""What leads on to the present life of a cluster that was brought back to a moment before."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backup.errors import ArchiveIncomplete
from backup.restore_points import archive
from backup.restore_points.base import BaseBackup
from backup.restore_points.cluster import Mark
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.reach import lead_on, reach_of_archive, reach_to
from backup.restore_points.wal import format_lsn, segment_name
from backup.restore_points.window import COPIES, DAY, base_for, still_needed, window_start
from tests.support.small_capsules import FIRST, LAST, MIDNIGHT, SEGMENT, add_segment, reach

FORK = 5 * SEGMENT + 1000


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    folder = tmp_path / "wal"
    folder.mkdir()
    return folder


def archive_history(wal: Path, timeline: int, *left: tuple[int, int]) -> None:
    """Archive where the timelines before this one were left."""
    name = f"{timeline:08X}.history"
    lines = [f"{before}\t{format_lsn(lsn)}\tbefore 2026\n" for before, lsn in left]
    (wal.parent / name).write_text("".join(lines))
    archive.push(wal.parent / name, name, wal)


def base(name: str, timeline: int, start_lsn: int, ended_at: datetime) -> BaseBackup:
    return reach().base.model_copy(
        update={
            "name": name,
            "timeline": timeline,
            "start_lsn": start_lsn,
            "end_lsn": start_lsn + 200,
            "ended_at": ended_at,
        }
    )


BEFORE = base("before the fork", 1, FORK - 1000, MIDNIGHT)
ACROSS = base("across the fork", 1, FORK - 100, MIDNIGHT + timedelta(hours=1))
BEHIND = base("behind the fork", 1, FORK + 100, MIDNIGHT + timedelta(hours=2))
AFTER = base("of the new life", 2, FORK + 300, MIDNIGHT + timedelta(hours=12))


def test_a_base_backup_of_a_life_that_was_ended_leads_nowhere(wal: Path) -> None:
    archive_history(wal, 2, (1, FORK))
    assert lead_on([BEFORE, ACROSS, BEHIND, AFTER], 2, wal) == [BEFORE, AFTER]
    assert lead_on([BEFORE, ACROSS, BEHIND, AFTER], 1, wal) == [BEFORE, ACROSS, BEHIND]


def test_sealing_goes_on_for_as_long_as_one_likes_after_a_restore(wal: Path) -> None:
    """A week later the newest base backup that is old enough is one that was left behind."""
    archive_history(wal, 2, (1, FORK))
    bases, ends = [BEFORE, ACROSS, BEHIND, AFTER], [MIDNIGHT]
    for day in range(1, 3 * COPIES):
        now = MIDNIGHT + day * DAY + timedelta(hours=1)
        bases.append(base(f"day {day}", 2, FORK + day * SEGMENT, now))
        ours = lead_on(bases, 2, wal)
        made = Mark(
            at=now + timedelta(minutes=1),
            lsn=FORK + (day + 1) * SEGMENT,
            closed_lsn=FORK + (day + 1) * SEGMENT + 100,
            timeline=2,
        )
        chosen = base_for(window_start(made.at, ends), ours)
        assert chosen.ended_at <= max(MIDNIGHT, made.at - COPIES * DAY)
        reach_to(made, chosen, wal).segments()
        ends.append(made.at)
        bases = still_needed(made.at, ends, ours)


def test_what_is_asked_of_a_base_backup_that_was_left_behind_is_refused(wal: Path) -> None:
    archive_history(wal, 2, (1, FORK))
    made = Mark(at=MIDNIGHT, lsn=9 * SEGMENT, closed_lsn=9 * SEGMENT + 100, timeline=2)
    assert reach_to(made, BEFORE, wal).segments()
    for left_behind in (ACROSS, BEHIND):
        with pytest.raises(ArchiveIncomplete, match="does not lead on"):
            reach_to(made, left_behind, wal).segments()


def test_all_of_an_ended_life_is_in_a_capsule_and_nothing_behind_its_end(wal: Path) -> None:
    """Its tail, which the new life has not reached yet, is what somebody may want back."""
    archive_history(wal, 2, (1, FORK))
    for number in range(FIRST - 1, LAST + 4):
        add_segment(wal, number)
    for number in (5, 6, 7):
        add_segment(wal, number, timeline=2)
    made = Mark(at=MIDNIGHT, lsn=6 * SEGMENT + 10, closed_lsn=6 * SEGMENT + 20, timeline=2)
    found = reach_to(made, reach().base, wal).files(archive.names(wal))
    assert found == [
        *(segment_name(1, number, SEGMENT) for number in range(FIRST, LAST + 4)),
        "00000002.history",
        *(segment_name(2, number, SEGMENT) for number in (5, 6)),
    ]


def test_where_a_life_began_has_to_be_known(wal: Path) -> None:
    with pytest.raises(ArchiveIncomplete, match=r"00000002\.history is missing"):
        lead_on([BEFORE], 2, wal)


@pytest.fixture
def programs(tmp_path: Path) -> PostgresPrograms:
    """A pg_waldump that finds no commit anywhere."""
    waldump = tmp_path / "programs" / "pg_waldump"
    waldump.parent.mkdir()
    waldump.write_text("#!/bin/sh\n")
    waldump.chmod(0o700)
    return PostgresPrograms(waldump.parent)


@pytest.mark.parametrize("timeline", [None, 1])
async def test_a_life_that_has_only_a_history_yet_is_none(
    wal: Path, programs: PostgresPrograms, timeline: int | None
) -> None:
    """A server that was started on a restored folder has archived nothing else so far."""
    for number in range(FIRST, LAST + 1):
        add_segment(wal, number)
    archive_history(wal, 2, (1, FORK))
    found = await reach_of_archive(reach().base, wal, programs, timeline=timeline)
    assert (found.timeline, found.history) == (1, ())
    assert found.closed_lsn == (LAST + 1) * SEGMENT


async def test_the_newest_life_is_meant_unless_another_is_named(
    wal: Path, programs: PostgresPrograms
) -> None:
    for number in range(FIRST, LAST + 1):
        add_segment(wal, number)
    archive_history(wal, 2, (1, FORK))
    for number in (FORK // SEGMENT, FORK // SEGMENT + 1):
        add_segment(wal, number, timeline=2)
    newest = await reach_of_archive(reach().base, wal, programs)
    assert newest.timeline == 2
    assert [name[:8] for name in newest.segments()] == ["00000001"] * 2 + ["00000002"] * 2
    assert (await reach_of_archive(reach().base, wal, programs, timeline=1)).timeline == 1
