"""What faults of backups look for is what the steps of a backup really leave on disk."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from backup.capsule.manifest import SUFFIX, capsule_name
from backup.durable import partial_beside
from backup.trail_folder import TrailFolder
from chaos.nemesis.legacy_stand_in import LegacyStandIn
from chaos.nemesis.trail_files import flip_a_bit, is_empty, replaced_by_a_file, sight_of
from chaos.scenarios.backup import KillMoment

DAY, OTHER = date(2028, 2, 29), date(2028, 2, 28)
HASH = "a" * 64

# What the product would write at that moment of a date's backup, by its own names.
WRITTEN: dict[KillMoment, Callable[[TrailFolder, date], Path]] = {
    "base": lambda trail, day: partial_beside(trail.bases("7") / f"{day:%Y%m%d}T000000Z"),
    "sealing": lambda trail, day: partial_beside(trail.capsules / f"{day}{SUFFIX}"),
    "proving": lambda trail, _: partial_beside(trail.folder / "scratch" / "scratch"),
    "copying": lambda trail, day: partial_beside(trail.copies / capsule_name(day, HASH)),
    "claimed": lambda trail, day: trail.claims / f"{day}.json",
    "calling": lambda trail, day: trail.legacy_service / "calls" / day.isoformat(),
    "answered": lambda trail, day: trail.legacy_service / "capsules" / f"{day}.json",
}


def sight(moment: KillMoment, trail: TrailFolder) -> Callable[[], bool]:
    return sight_of(moment, DAY, trail, LegacyStandIn(trail.legacy_service, "a token"))


def write(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a line\n")


@pytest.mark.parametrize("moment", WRITTEN)
def test_a_step_is_seen_while_its_file_is_there(moment: KillMoment, tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path)
    seen = sight(moment, trail)
    assert not seen()
    write(file := WRITTEN[moment](trail, DAY))
    assert seen()
    file.unlink()
    assert not seen()


@pytest.mark.parametrize("moment", ["sealing", "copying", "claimed", "calling", "answered"])
def test_the_backup_of_another_date_is_not_taken_for_it(moment: KillMoment, tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path)
    write(WRITTEN[moment](trail, OTHER))
    assert not sight(moment, trail)()


def test_combining_bases_is_not_taking_one(tmp_path: Path) -> None:
    trail = TrailFolder(tmp_path)
    write(partial_beside(trail.bases("7") / "combined-20280229T000000Z"))
    assert not sight("base", trail)()


def test_a_flipped_bit_is_one_bit(tmp_path: Path) -> None:
    file = tmp_path / "copy"
    file.write_bytes(bytes(1001))
    flip_a_bit(file)
    assert sum(byte.bit_count() for byte in file.read_bytes()) == 1
    assert file.stat().st_size == 1001


def test_a_folder_that_was_away_comes_back_as_it_was(tmp_path: Path) -> None:
    store = tmp_path / "far"
    with replaced_by_a_file(store), pytest.raises(FileExistsError):
        store.mkdir(exist_ok=True)
    assert is_empty(store)
    write(store / "copy")
    with replaced_by_a_file(store):
        assert not store.is_dir()
    assert not is_empty(store)
