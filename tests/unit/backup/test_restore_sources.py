"""Capsules and stores as sources, with capsules of a few small files: what is refused, and when."""

import json
import random
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from backup.capsule.manifest import SealedCapsule, label_name
from backup.durable import LOCK
from backup.errors import (
    ArchiveConflict,
    BackupProblem,
    CapsuleDamaged,
    CopyDamaged,
    CopyMissing,
    NotCovered,
    WrongCapsule,
    WrongKey,
)
from backup.restore.capsule_source import CapsuleSource, found_capsule, hand_over_log
from backup.restore.drill import RestoreDrill, some_second
from backup.restore.store_source import StoreSource
from backup.restore_points import archive
from backup.restore_points.programs import PostgresPrograms
from backup.stores.folder import FolderStore
from backup.stores.store import Copy
from backup.trail_folder import TrailFolder
from deploy.cli.restore_source import RestoreSources
from deploy.local.recovery import LocalRecoveryServers
from tests.support.small_capsules import DAY, MIDNIGHT, Made, make


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)


def source(capsule: SealedCapsule, made: Made, where: str = "") -> CapsuleSource:
    trail = TrailFolder(made.folder.with_name("trail"))
    programs = PostgresPrograms(Path("/not/there"))
    return CapsuleSource(capsule, made.key, trail, programs, say=lambda _: None, where=where)


def store_source(made: Made, tmp_path: Path, said: list[str]) -> StoreSource:
    return StoreSource(
        FolderStore("nas", tmp_path / "nas", reserve_bytes=0),
        lambda capsule, where: source(capsule, made, where),
        tmp_path / "fetched",
        say=said.append,
    )


def test_a_capsule_is_known_by_its_label_or_else_by_its_manifest(
    made: Made, tmp_path: Path
) -> None:
    capsule = made.seal()
    assert found_capsule(capsule.path, made.key) == capsule
    lone = tmp_path / f"{DAY}.capsule"
    shutil.copy(capsule.path, lone)
    lone.with_suffix(".json").write_text('{"date": "2026-03-01"}')  # as the legacy service does
    assert found_capsule(lone, made.key) == capsule.model_copy(update={"path": lone})
    capsule.path.with_name(label_name(capsule.name)).unlink()
    assert found_capsule(capsule.path, made.key) == capsule


def test_a_file_that_is_no_capsule_is_told_from_one_of_another_key(
    made: Made, tmp_path: Path
) -> None:
    lone = tmp_path / "some.capsule"
    with pytest.raises(CopyMissing, match="there is no capsule at"):
        found_capsule(lone, made.key)
    lone.write_bytes(b"no capsule")
    with pytest.raises(CapsuleDamaged):
        found_capsule(lone, made.key)
    shutil.copy(made.seal().path, lone)
    with pytest.raises(WrongKey):
        found_capsule(lone, make(tmp_path / "other").key)


def test_a_capsule_under_the_name_of_another_is_refused(made: Made, tmp_path: Path) -> None:
    capsule = made.seal()
    swapped = tmp_path / capsule.name.replace(capsule.sha256[:8], "0" * 8)
    shutil.copy(capsule.path, swapped)
    with pytest.raises(WrongCapsule, match="is not what its name says"):
        found_capsule(swapped, made.key)


async def test_a_moment_outside_is_refused_by_the_label_alone(made: Made) -> None:
    capsule = made.seal()
    capsule.path.unlink()
    for moment in (capsule.covers_from, capsule.covers_to):
        early = moment == capsule.covers_from
        outside = moment + timedelta(seconds=-1 if early else 1)
        with pytest.raises(NotCovered, match="is not in the capsule of 2026-03-01"):
            await source(capsule, made).check(outside)


async def test_an_offer_says_up_to_when(made: Made) -> None:
    capsule = made.seal()
    offer = await source(capsule, made).check(None)
    assert offer.up_to == offer.latest == capsule.covers_to
    earlier = MIDNIGHT - timedelta(days=1)
    assert (await source(capsule, made).check(earlier)).up_to == earlier


async def test_a_damaged_copy_is_passed_over_and_named(made: Made, tmp_path: Path) -> None:
    store, said = FolderStore("nas", tmp_path / "nas", reserve_bytes=0), list[str]()
    first, second = made.seal(), made.seal(DAY + timedelta(days=1))
    for capsule in (first, second):
        await store.put(capsule)
    where = store_source(made, tmp_path, said)
    offer = await where.check(None)
    assert "in nas" in offer.what
    (tmp_path / "nas" / second.name).write_bytes(b"damaged")
    offer = await where.check(None)
    assert offer.what == "the capsule of 2026-03-01 in nas"
    assert "the copy of 2026-03-02 was passed over" in offer.notes[0]
    (tmp_path / "nas" / first.name).unlink()
    with pytest.raises(CopyDamaged, match="no copy in nas can be used"):
        await where.check(None)


async def test_without_the_key_nothing_is_fetched(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fetched(FolderStore):
        async def get(self, copy: Copy, folder: Path) -> SealedCapsule:
            raise AssertionError(f"{copy.name} was fetched to {folder}")

    await FolderStore("nas", tmp_path / "nas", reserve_bytes=0).put(made.seal())
    monkeypatch.setenv("BACKUP_FOLDER_STORES", json.dumps({"nas": str(tmp_path / "nas")}))
    trail, said = TrailFolder(tmp_path / "trail"), list[str]()
    servers = LocalRecoveryServers(1.0)
    sources = RestoreSources(trail, trail, servers, within_s=1.0, say=said.append)
    for name in ("nas", str(tmp_path / "nas")):
        with pytest.raises(BackupProblem, match="the secret key is not in"):
            sources.named(name)
    drill = RestoreDrill(
        servers,
        trail.secret_key,
        tmp_path / "drill",
        (),
        made.folder,
        within_s=60.0,
        dice=random.Random(1),
        say=said.append,
    )
    done = await drill.run([Fetched("nas", tmp_path / "nas")])
    assert "nas: nothing could be restored: the secret key is not in" in done.detail
    assert not (tmp_path / "trail").exists()


async def test_a_copy_under_the_name_of_another_is_passed_over(made: Made, tmp_path: Path) -> None:
    store = FolderStore("nas", tmp_path / "nas", reserve_bytes=0)
    await store.put(made.seal())
    other = made.seal(DAY + timedelta(days=1))
    late = other.model_copy(update={"day": DAY + timedelta(days=2)})
    await store.put(made.relabel(late, other.path.read_bytes()))
    offer = await store_source(made, tmp_path, []).check(None)
    assert offer.what == "the capsule of 2026-03-01 in nas"
    assert "the copy of 2026-03-03 was passed over" in offer.notes[0]
    assert "was sealed as the capsule of 2026-03-02" in offer.notes[0]


async def test_a_copy_that_its_disk_cannot_read_is_passed_over(made: Made, tmp_path: Path) -> None:
    store = FolderStore("nas", tmp_path / "nas", reserve_bytes=0)
    first, second = made.seal(), made.seal(DAY + timedelta(days=1))
    for capsule in (first, second):
        await store.put(capsule)
    (store.folder / second.name).unlink()
    (store.folder / second.name).symlink_to("/proc/self/mem")  # reading its first page is an EIO
    offer = await store_source(made, tmp_path, []).check(None)
    assert offer.what == "the capsule of 2026-03-01 in nas"
    assert f"{second.name} cannot be read: [Errno 5]" in offer.notes[0]
    assert list((tmp_path / "fetched").iterdir()) == [tmp_path / "fetched" / LOCK]


async def test_a_store_without_copies_or_without_the_moment_says_so(
    made: Made, tmp_path: Path
) -> None:
    where = store_source(made, tmp_path, [])
    with pytest.raises(NotCovered, match="the store nas has no copies"):
        await where.check(None)
    await FolderStore("nas", tmp_path / "nas", reserve_bytes=0).put(made.seal())
    with pytest.raises(NotCovered, match="whose copies reach from"):
        await where.check(MIDNIGHT + timedelta(days=1))


def test_the_log_of_a_capsule_joins_an_archive_and_replaces_nothing(
    made: Made, tmp_path: Path
) -> None:
    wal = tmp_path / "trail" / "wal"
    hand_over_log(made.wal, wal)
    hand_over_log(made.wal, wal)
    assert archive.names(wal) == archive.names(made.wal)
    name = archive.names(wal)[0]
    (wal / f"{name}{archive.SUFFIX}").unlink()
    stranger = tmp_path / "stranger"
    stranger.write_bytes(b"of another cluster")
    archive.push(stranger, name, wal)
    with pytest.raises(ArchiveConflict):
        hand_over_log(made.wal, wal)


def test_a_drill_takes_whole_seconds_of_the_window() -> None:
    first = MIDNIGHT + timedelta(microseconds=1)
    found = {some_second(first, first + timedelta(seconds=3), random.Random(n)) for n in range(50)}
    assert found == {MIDNIGHT + timedelta(seconds=n) for n in (1, 2, 3)}
    last = first + timedelta(milliseconds=10)
    assert some_second(first, last, random.Random(1)) == last
