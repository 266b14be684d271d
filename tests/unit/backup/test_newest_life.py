"""Which life of a cluster is meant by its end: by number, and only if anything was done in it."""

from datetime import timedelta
from pathlib import Path

import pytest

from backup.restore_points import archive
from backup.restore_points.lives import ways_to
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.wal import format_lsn
from tests.support.small_capsules import FIRST, MIDNIGHT, SEGMENT, add_segment, reach

# Each life goes on in the file in which its former one was left.
LEFT = {2: 5 * SEGMENT, 3: 6 * SEGMENT, 4: 7 * SEGMENT}
# A commit of the restore itself, its mark, the commit of that, and one that came later. When the
# third life began, the clock had been put back behind the beginning of the second one.
WALDUMP = """#!/bin/sh
name=$(basename "$2")
case "$name" in
  00000001*) hour=08;;
  00000002*) hour=10;;
  00000003*) hour=09;;
  *) hour=11;;
esac
part=$(printf %s "$name" | tail -c 1)
if [ "$1" = --rmgr=LogicalMessage ]; then
  echo "lsn: 0/${part}8000, prev 0/0, desc: MESSAGE transactional, prefix \\"backup\\";"\
       "payload (8 bytes): 72 65 73 74 6F 72 65 64"
  exit
fi
for place in ${part}0100 ${part}8100 $(cat "$(dirname "$0")/later.$name" 2>/dev/null); do
  echo "lsn: 0/$place, prev 0/0, desc: COMMIT 2026-03-01 $hour:00:00.000000 UTC"
done
"""


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    folder = tmp_path / "wal"
    folder.mkdir()
    for number in range(FIRST, 6):
        add_segment(folder, number)
    left = ""
    for timeline, lsn in LEFT.items():
        left += f"{timeline - 1}\t{format_lsn(lsn)}\tbefore 2026\n"
        history = tmp_path / f"{timeline:08X}.history"
        history.write_text(left)
        archive.push(history, history.name, folder)
        add_segment(folder, lsn // SEGMENT, timeline=timeline)
    return folder


@pytest.fixture
def programs(tmp_path: Path) -> PostgresPrograms:
    waldump = tmp_path / "programs" / "pg_waldump"
    waldump.parent.mkdir()
    waldump.write_text(WALDUMP)
    waldump.chmod(0o700)
    return PostgresPrograms(waldump.parent)


def lived(programs: PostgresPrograms, timeline: int) -> None:
    """Have somebody commit something in a life, after the restore that began it."""
    part = LEFT[timeline] // SEGMENT
    (programs.folder / f"later.{timeline:08X}{part:016X}").write_text(f"{part}9000")


async def test_the_newest_life_is_the_one_of_the_highest_number_whatever_the_clock_showed(
    wal: Path, programs: PostgresPrograms
) -> None:
    lived(programs, 2)
    lived(programs, 3)
    lived(programs, 4)
    ways = await ways_to(None, [reach().base], wal, programs)
    assert (ways.timeline, ways.notes) == (4, ())
    (wal / f"{4:08X}{7:016X}{archive.SUFFIX}").unlink()
    assert (await ways_to(None, [reach().base], wal, programs)).timeline == 3


async def test_a_life_in_which_nothing_was_done_but_its_restore_is_passed_over_and_named(
    wal: Path, programs: PostgresPrograms
) -> None:
    lived(programs, 2)
    ways = await ways_to(None, [reach().base], wal, programs)
    assert ways.timeline == 2
    for note, timeline in zip(ways.notes, (4, 3), strict=True):
        assert f"the life on timeline {timeline} was passed over" in note
    # Its own moment still leads there.
    at = MIDNIGHT + timedelta(hours=11)
    assert (await ways_to(at, [reach().base], wal, programs)).timeline == 4


async def test_a_life_with_a_base_backup_of_its_own_was_lived(
    wal: Path, programs: PostgresPrograms
) -> None:
    own = {"name": "own", "timeline": 3, "start_lsn": LEFT[3] + 40, "end_lsn": LEFT[3] + 400}
    bases = [reach().base, reach().base.model_copy(update=own)]
    ways = await ways_to(None, bases, wal, programs)
    assert [base.name for base in ways.bases] == ["own", reach().base.name]
    assert ways.timeline == 3
