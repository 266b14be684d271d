"""The files of the trail, as faults of backups look at them and spoil them."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from backup.trail_folder import TrailFolder
from chaos.nemesis.legacy_stand_in import LegacyStandIn
from chaos.scenarios.backup import KillMoment


def sight_of(
    moment: KillMoment, day: date, trail: TrailFolder, legacy: LegacyStandIn
) -> Callable[[], bool]:
    """Return what shows that a step of a date's backup has begun, or has just been done."""
    match moment:
        case "base":
            return lambda: any(map(_is_no_combined_one, trail.clusters.glob("*/bases/.*.partial")))
        case "sealing":
            return lambda: any(trail.capsules.glob(f".{day}.capsule.*.partial"))
        case "proving":
            return lambda: any((trail.folder / "scratch").glob(".*.partial"))
        case "copying":
            return lambda: any(trail.copies.glob(f".{day}.*.capsule.*.partial"))
        case "claimed":
            return (trail.claims / f"{day}.json").exists
        case "calling":
            return lambda: legacy.calls().get(day, 0) > 0
        case "answered":
            return lambda: legacy.keeps(day)


def lose_bases(trail: TrailFolder) -> None:
    """Delete every base backup, as somebody would who needs room."""
    for bases in trail.clusters.glob("*/bases"):
        shutil.rmtree(bases)


def flip_a_bit(file: Path) -> None:
    """Turn over one bit in the middle of a file."""
    with file.open("r+b") as content:
        content.seek(file.stat().st_size // 2)
        [byte] = content.read(1)
        content.seek(-1, 1)
        content.write(bytes([byte ^ 0x10]))


def is_empty(folder: Path) -> bool:
    """Tell whether nothing is in a folder, hidden things included."""
    return not any(folder.iterdir())


@contextmanager
def replaced_by_a_file(folder: Path) -> Iterator[None]:
    """Have a file where a folder was: nobody can write there, whatever rights they have."""
    folder.mkdir(exist_ok=True)
    away = folder.rename(folder.with_name(f"{folder.name}-away"))
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)


def _is_no_combined_one(path: Path) -> bool:
    return "combined" not in path.name
