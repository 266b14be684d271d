"""Backups leave room on the disk: the database that is on it, too, stops when it is full."""

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from backup.capsule import seal
from backup.capsule.manifest import SealedCapsule
from backup.capsule.open import ROOM_TO_SPARE_BYTES, open_capsule
from backup.durable import LOCK, require_room
from backup.errors import DiskFull, StoreUnavailable
from backup.restore.capsule_source import CapsuleSource
from backup.restore.drill import RestoreDrill
from backup.restore.store_source import StoreSource
from backup.restore_points.base import FACTS, BaseFolder
from backup.restore_points.programs import PostgresPrograms
from backup.stores.folder import FolderStore
from deploy.local.recovery import LocalRecoveryServers
from tests.support.small_capsules import DAY, Made, content_of, make, reach

GIB = 1 << 30


class Disk(NamedTuple):
    """What a disk says of itself."""

    total: int
    used: int
    free: int


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say how much the disk has left, at one look after the other; the last is for all others."""

    def says(*free: int, total: int = 100 * GIB) -> None:
        left = list(free)

        def look(_: Path) -> Disk:
            now = left.pop(0) if len(left) > 1 else left[0]
            return Disk(total, total - now, now)

        monkeypatch.setattr(shutil, "disk_usage", look)

    return says


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)


@pytest.mark.parametrize(
    ("total", "reserve"), [(10, 2), (100, 5), (4000, 16)], ids=["small", "middle", "large"]
)
def test_what_stays_free_goes_by_the_disk(
    disk: Callable[..., None], tmp_path: Path, total: int, reserve: int
) -> None:
    disk((reserve + 1) * GIB, total=total * GIB)
    require_room(tmp_path, GIB, "a test")
    with pytest.raises(DiskFull, match="all that was there before is kept"):
        require_room(tmp_path, GIB + 1, "a test")
    require_room(tmp_path, reserve * GIB, "a test", reserve_bytes=0)


def test_a_capsule_that_may_not_fit_is_not_begun(disk: Callable[..., None], made: Made) -> None:
    first = made.seal()
    before = content_of(made.folder)
    disk(5 * GIB + first.size_bytes - 1)
    with pytest.raises(DiskFull, match="have to stay free"):
        made.seal(DAY + timedelta(days=1), first, reserve_bytes=None)
    assert content_of(made.folder) == before
    disk(5 * GIB + first.size_bytes)
    made.seal(DAY + timedelta(days=1), first, reserve_bytes=None)


def test_a_disk_that_fills_while_sealing_ends_it_in_time(
    disk: Callable[..., None], made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "_LOOK_EVERY_BYTES", 1000)
    made.seal()
    before = content_of(made.folder)
    disk(6 * GIB, 6 * GIB, 5 * GIB - 1)
    with pytest.raises(DiskFull, match="have to stay free"):
        made.seal(DAY + timedelta(days=1), reserve_bytes=None)
    assert content_of(made.folder) == before
    disk(6 * GIB)
    made.seal(DAY + timedelta(days=1), reserve_bytes=None)


def test_a_capsule_is_opened_for_a_look_only_beside_a_database_with_room(
    disk: Callable[..., None], made: Made, tmp_path: Path
) -> None:
    capsule = made.seal()
    disk(5 * GIB)
    with pytest.raises(DiskFull, match="have to stay free"):
        open_capsule(capsule, made.key, tmp_path / "opened", reserve_bytes=None)
    assert not (tmp_path / "opened").exists()
    open_capsule(capsule, made.key, tmp_path / "opened")  # on the worst day, it has to be


async def test_a_store_on_a_disk_that_is_nearly_full_takes_no_copy(
    disk: Callable[..., None], made: Made, tmp_path: Path
) -> None:
    capsule, store = made.seal(), FolderStore("disk", tmp_path / "disk")
    disk(5 * GIB)
    with pytest.raises(StoreUnavailable, match="have to stay free"):
        await store.put(capsule)
    assert list(store.folder.iterdir()) == []
    await FolderStore("disk", tmp_path / "disk", reserve_bytes=0).put(capsule)
    await store.put(capsule)  # it is there already


async def test_a_copy_that_may_not_fit_is_not_fetched(
    disk: Callable[..., None], made: Made, tmp_path: Path
) -> None:
    capsule, store = made.seal(), FolderStore("nas", tmp_path / "nas", reserve_bytes=0)
    await store.put(capsule)
    said: list[str] = []
    source = StoreSource(store, never, tmp_path / "fetched", say=said.append)
    disk(capsule.size_bytes + ROOM_TO_SPARE_BYTES - 1)
    with pytest.raises(DiskFull, match=f"fetching {capsule.name} needs"):
        await source.check(None)
    drill = RestoreDrill(
        LocalRecoveryServers(1.0),
        lambda: made.key,
        tmp_path / "drill",
        (),
        made.folder,
        within_s=60.0,
        dice=Random(1),
        say=said.append,
        reserve_bytes=None,
    )
    disk(capsule.size_bytes + 5 * GIB - 1)
    done = await drill.run([store])
    assert "nas: nothing could be restored: the disk of" in done.detail
    assert not any("fetching" in one for one in said if "needs" not in one)


def never(capsule: SealedCapsule, where: str) -> CapsuleSource:
    raise AssertionError(f"{capsule.name}{where} was fetched")


@pytest.mark.parametrize("chain", [1, 2])
async def test_base_backups_are_not_combined_on_a_disk_that_is_nearly_full(
    disk: Callable[..., None], tmp_path: Path, chain: int
) -> None:
    """From a full one alone, files are only linked."""
    bases = BaseFolder(tmp_path / "bases", PostgresPrograms(tmp_path))
    full = reach().base.model_copy(update={"size_bytes": GIB})
    last = full.model_copy(update={"name": "next", "parent": full.name, "kind": "incremental"})
    for base in (full, last):
        bases.data(base).mkdir(parents=True)
        (bases.folder / base.name / FACTS).write_text(base.model_dump_json())
    before = content_of(bases.folder)
    disk(5 * GIB + GIB * (chain - 1) - 1)
    with pytest.raises(DiskFull):
        async with bases.combined((full, last)[chain - 1], within_s=1):
            pass
    assert content_of(bases.folder) == {**before, LOCK: b""}


@contextmanager
def full_disk(at_bytes: int) -> Iterator[None]:
    """Keep this process from making any file longer, as `chaos/nemesis/full_disk.py` does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("at_bytes", [0, 100, 20_000])
def test_a_full_disk_leaves_nothing_half_and_keeps_the_older_ones(
    made: Made, at_bytes: int
) -> None:
    made.seal()
    before = content_of(made.folder)
    with full_disk(at_bytes), pytest.raises(DiskFull, match="all that was there before is kept"):
        made.seal(DAY + timedelta(days=1))
    assert content_of(made.folder) == before
    made.seal(DAY + timedelta(days=1))


def test_a_disk_that_fills_while_opening_leaves_nothing(made: Made, tmp_path: Path) -> None:
    target = tmp_path / "opened"
    capsule = made.seal()
    with full_disk(1_000), pytest.raises(DiskFull):
        open_capsule(capsule, made.key, target)
    assert not target.exists()
    assert not list(target.parent.glob(".opened*"))
