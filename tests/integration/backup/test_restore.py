"""A restore of a killed cluster: from archive, capsule and store, to a home that can be started."""

import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest

from backup.capsule.manifest import label_name
from backup.durable import LOCK
from backup.errors import BackupProblem, CapsuleDamaged, NotCovered, WrongCapsule, WrongKey
from backup.legacy.claim_folder import ClaimFolder
from backup.restore.drill import RestoreDrill
from backup.restore.proofs import newest_proven, read_drill
from backup.restore.prove import RestoreProver
from backup.stores.folder import FolderStore
from backup.trail_folder import TrailFolder
from deploy.cli.restore import restore_to
from deploy.local.errors import StartRefused
from deploy.local.recovery import LocalRecoveryServers
from tests.support.backed_up_cluster import WITHIN_S
from tests.support.trail.restorable import (
    DATABASES,
    Backups,
    killed,
    seal,
    shop,
)

pytestmark = pytest.mark.timeout(600)


def names_in(folder: Path) -> set[str]:
    """Return what is in a folder, nothing if it is not there."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def all_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


async def test_the_archive_brings_all_back_that_was_archived(backups: Backups, home: Path) -> None:
    end, lines = backups.moments[-1]
    day = datetime.now(UTC).date()
    restored = await restore_to(backups.place(home), "archive", None)
    assert restored.offer.up_to >= end
    assert restored.rows["orders"]["lines"] == lines
    assert names_in(home) == {"lock", "logs", "postgres", "secrets"}
    assert restored.call_spent_of in {day, datetime.now(UTC).date()}
    assert restored.call_spent_of in await ClaimFolder(backups.trail.claims).known()
    async with shop(home, backups.trail) as cluster:
        assert await cluster.count() == lines


@pytest.mark.parametrize("source", ["archive", "copies", "capsule"])
async def test_a_second_of_the_past_comes_back(backups: Backups, home: Path, source: str) -> None:
    moment, lines = random.Random(source).choice(backups.moments[:3])
    name = str(backups.capsule.path) if source == "capsule" else source
    restored = await restore_to(backups.place(home), name, moment)
    assert restored.offer.up_to == moment
    assert restored.differences == ()
    async with shop(home, backups.trail) as cluster:
        assert await cluster.count() == lines


async def test_a_capsule_alone_brings_its_end_back_on_an_empty_host(
    backups: Backups, home: Path, tmp_path: Path
) -> None:
    """As the legacy service gives it back: under another name, without its label."""
    lone = tmp_path / "2026-03-01.capsule"
    shutil.copy(backups.capsule.path, lone)
    shutil.copytree(backups.trail.keys, tmp_path / "empty" / "key")
    (tmp_path / "empty" / "key" / "public").unlink()
    elsewhere = Backups(TrailFolder(tmp_path / "empty"), [], backups.capsule, 0)
    restored = await restore_to(elsewhere.place(home), str(lone), None)
    assert restored.differences == ()
    assert restored.rows["orders"]["lines"] == backups.sealed_lines
    assert elsewhere.trail.public_key() == backups.trail.public_key()
    async with shop(home, elsewhere.trail) as cluster:
        assert await cluster.count() == backups.sealed_lines
        await cluster.mark()  # its log goes on behind that of its former life


@pytest.mark.full
async def test_restored_twice_every_life_can_be_had_again(
    backups: Backups, home: Path, tmp_path: Path
) -> None:
    first, second = backups.moments[1], backups.moments[4]
    trail = backups.trail
    await restore_to(backups.place(home), "archive", first[0])
    async with shop(home, trail) as cluster:
        assert await cluster.count() == first[1]
        in_second_life = await cluster.add(1000)
        await cluster.add()
        await cluster.take()
        await cluster.mark()
        await killed(cluster)
    shutil.rmtree(home)

    await restore_to(backups.place(home), "archive", second[0])
    async with shop(home, trail) as cluster:
        assert await cluster.count() == second[1]
        assert (await cluster.mark()).timeline == 3
        in_third_life = await cluster.add(2000)
        await cluster.take()
        capsule = await seal(cluster, trail, backups.capsule)
        await killed(cluster)

    lives = [
        (backups.moments[5][0], backups.moments[5][1], "archive"),
        (in_second_life, first[1] + 1000, "archive"),
        (in_third_life, second[1] + 2000, "archive"),
        (in_second_life, first[1] + 1000, str(capsule.path)),
        (None, second[1] + 2000, str(capsule.path)),
    ]
    for number, (moment, lines, source) in enumerate(lives):
        again = tmp_path / f"again-{number}"
        copy = backups.copied(tmp_path / f"trail-{number}")
        restored = await restore_to(copy.place(again), source, moment)
        assert restored.rows["orders"]["lines"] == lines
        assert restored.differences == ()
        shutil.rmtree(again)
        shutil.rmtree(copy.trail.folder)


async def test_a_moment_that_nothing_holds_is_refused_before_anything_is_written(
    backups: Backups, home: Path
) -> None:
    for source in ("archive", "copies", str(backups.capsule.path)):
        for moment in (
            backups.capsule.covers_from - timedelta(days=1),
            datetime.now(UTC) + timedelta(days=1),
        ):
            with pytest.raises(NotCovered, match="is not in"):
                await restore_to(backups.place(home), source, moment)
            assert not names_in(home)


async def test_damage_a_wrong_key_and_swapped_capsules_are_found_first(
    backups: Backups, home: Path
) -> None:
    path, key = backups.capsule.path, backups.trail.keys / "secret"
    content, label = path.read_bytes(), path.with_name(label_name(path.name))

    async def refused(problem: type[BackupProblem], source: str = str(path)) -> None:
        before = all_below(backups.trail.clusters)
        with pytest.raises(problem):
            await restore_to(backups.place(home), source, None)
        assert not names_in(home)
        assert all_below(backups.trail.clusters) == before

    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes(flipped)
    await refused(CapsuleDamaged)
    label.unlink()
    await refused(BackupProblem)
    path.write_bytes(content)
    other = path.with_name(path.name.replace(backups.capsule.sha256, "0" * 64))
    path.rename(other)
    await refused(WrongCapsule, str(other))
    other.rename(path)
    for other_key in (str(pyrage.x25519.Identity.generate()), "no key at all"):
        key.write_text(other_key)
        await refused(WrongKey)


async def test_a_flipped_bit_in_the_archive_or_in_a_base_backup_is_found_first(
    backups: Backups, home: Path
) -> None:
    clusters = backups.trail.clusters
    log = max(clusters.glob("*/wal/0*.zst"))
    page = max(clusters.glob("*/bases/*/data/base/*/*"), key=lambda file: file.stat().st_size)
    # Without the last log there is an earlier end; without a page of the first base backup nothing.
    for file, moment in ((log, backups.moments[-1][0]), (page, None)):
        content = file.read_bytes()
        flipped = bytearray(content)
        flipped[len(flipped) // 2] ^= 1
        file.write_bytes(flipped)
        with pytest.raises(BackupProblem, match="damaged"):
            await restore_to(backups.place(home), "archive", moment)
        assert not names_in(home)
        file.write_bytes(content)


async def test_a_damaged_copy_is_passed_over_for_the_next_one(backups: Backups, home: Path) -> None:
    older = FolderStore("copies", backups.trail.copies, reserve_bytes=0)
    async with shop(home, backups.trail) as cluster:
        await cluster.take()
        newest = await seal(cluster, backups.trail)
    shutil.rmtree(home)
    await older.put(newest)
    (backups.trail.copies / newest.name).write_bytes(b"damaged")
    restored = await restore_to(backups.place(home), "copies", None)
    assert "passed over" in restored.offer.notes[0]
    assert restored.rows["orders"]["lines"] == backups.sealed_lines


def test_a_home_with_data_or_a_running_stack_is_refused(backups: Backups, home: Path) -> None:
    home.mkdir()
    (home / "postgres").mkdir()
    with pytest.raises(StartRefused, match="has data already: postgres"):
        backups.place(home).refuse_used()
    (home / "postgres").rename(home / "secrets")
    backups.place(home).refuse_used()


async def test_a_dry_run_reads_everything_and_leaves_nothing(
    backups: Backups, tmp_path: Path
) -> None:
    before = all_below(tmp_path)
    scratch = backups.trail.folder / "fetched"
    for source in ("archive", "copies", str(backups.capsule.path)):
        offer = await backups.source(source).check(backups.moments[0][0])
        assert offer.up_to == backups.moments[0][0] < offer.latest
    assert all_below(tmp_path) - before == {scratch, scratch / LOCK}


async def test_a_proof_is_kept_and_a_drill_restores_from_every_store(backups: Backups) -> None:
    servers, trail = LocalRecoveryServers(WITHIN_S), backups.trail
    scratch = trail.folder / "scratch"
    prover = RestoreProver(servers, trail.secret_key, scratch, DATABASES, WITHIN_S, reserve_bytes=0)
    await prover.prove(backups.capsule)
    proof = newest_proven(trail.capsules)
    assert proof is not None
    assert (proof.capsule_sha256, proof.differences) == (backups.capsule.sha256, ())

    drill = RestoreDrill(
        servers,
        trail.secret_key,
        scratch,
        DATABASES,
        trail.capsules,
        within_s=WITHIN_S,
        dice=random.Random(11),
        say=lambda _: None,
        reserve_bytes=0,
    )
    copies = FolderStore("copies", trail.copies)
    done = await drill.run([copies])
    assert done.ok, done.detail
    assert "copies: back to" in done.detail
    done = await drill.run([copies, FolderStore("empty", trail.folder / "empty")])
    assert not done.ok
    assert "empty: nothing could be restored: it has no copies yet" in done.detail
    assert read_drill(trail.capsules) == done
    assert names_in(scratch) == {LOCK}
