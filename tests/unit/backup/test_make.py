"""Sealing goes on when a base backup or a file of the log is damaged, and says since when."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from backup.capsule.make import seal_from_the_first_whole
from backup.capsule.manifest import Contents, SealedCapsule
from backup.capsule.seal import seal
from backup.errors import ArchiveIncomplete, BackupProblem, BaseUnusable
from backup.restore_points.base import BaseBackup, BaseFolder
from backup.restore_points.cluster import Mark
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.wal import segment_name
from backup.restore_points.window import bases_for
from tests.support.small_capsules import (
    DAY,
    FIRST,
    LAST,
    MIDNIGHT,
    SEGMENT,
    Made,
    add_segment,
    make,
    reach,
)

MARK = Mark(at=MIDNIGHT, lsn=LAST * SEGMENT + 100, closed_lsn=LAST * SEGMENT + 200, timeline=1)
# One in each of the first three files of the log, a day apart.
BASES = [
    reach().base.model_copy(
        update={
            "name": f"base-{number}",
            "start_lsn": (FIRST + number) * SEGMENT + 40,
            "end_lsn": (FIRST + number) * SEGMENT + 400,
            "ended_at": MIDNIGHT - timedelta(days=7 - number),
        }
    )
    for number in range(3)
]


class Bases(BaseFolder):
    """Gives one and the same folder for each, unless it is damaged."""

    def __init__(self, data: Path, damaged: set[str]) -> None:
        super().__init__(data.parent, PostgresPrograms(data.parent))
        self._data = data
        self._damaged = damaged

    @asynccontextmanager
    async def combined(self, base: BaseBackup, *, within_s: float) -> AsyncIterator[Path]:
        if base.name in self._damaged:
            raise BaseUnusable(f"{base.name} is damaged")
        yield self._data


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)


def in_archive(made: Made, number: int) -> Path:
    return made.wal / f"{segment_name(1, number, SEGMENT)}.zst"


async def seal_from(made: Made, *damaged: str) -> SealedCapsule:
    sealing = partial(
        seal,
        day=DAY,
        wal=made.wal,
        contents=Contents(),
        previous=None,
        recipients=[made.recipient],
        folder=made.folder,
        reserve_bytes=0,
    )
    return await seal_from_the_first_whole(
        BASES, MARK, Bases(made.base, set(damaged)), made.wal, sealing, within_s=1.0
    )


async def test_what_is_whole_is_sealed_from_the_one_that_was_chosen(made: Made) -> None:
    assert (await seal_from(made)).covers_from == BASES[0].ended_at


@pytest.mark.parametrize("number", [0, 1])
async def test_a_damaged_base_backup_makes_way_for_a_newer_one(made: Made, number: int) -> None:
    capsule = await seal_from(made, *(base.name for base in BASES[: number + 1]))
    assert capsule.covers_from == BASES[number + 1].ended_at


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "damaged"])
async def test_what_comes_after_a_hole_in_the_log_is_sealed(
    made: Made, number: int, is_lost: bool
) -> None:
    file = in_archive(made, FIRST + number)
    if is_lost:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    capsule = await seal_from(made)
    assert capsule.covers_from == BASES[number + 1].ended_at
    assert [path for path in made.folder.iterdir() if path.name.endswith(".partial")] == []


@pytest.mark.parametrize(
    ("damaged", "lost", "problem"),
    [(True, FIRST, BaseUnusable), (False, LAST, ArchiveIncomplete)],
)
async def test_when_none_will_do_what_is_wrong_with_the_first_is_told(
    made: Made, damaged: bool, lost: int, problem: type[BackupProblem]
) -> None:
    in_archive(made, lost).unlink()
    with pytest.raises(problem):
        await seal_from(made, *(base.name for base in BASES if damaged))


def test_only_newer_ones_stand_in_for_the_one_that_was_chosen() -> None:
    assert bases_for(BASES[1].ended_at, BASES[::-1]) == BASES[1:]


async def test_a_damaged_file_of_another_life_stops_nothing(made: Made) -> None:
    add_segment(made.wal, LAST, timeline=2)
    file = made.wal / f"{segment_name(2, LAST, SEGMENT)}.zst"
    file.write_bytes(file.read_bytes()[:-1])
    assert (await seal_from(made)).covers_from == BASES[0].ended_at
