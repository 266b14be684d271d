"""The steps of a backup on a real cluster: sealed once, and nothing let go of too early."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from backup.capsule.manifest import SealedCapsule, label_name
from backup.restore.proofs import Proof, proof_file, write_proof
from backup.restore_points import archive
from backup.restore_points.programs import PostgresPrograms
from backup.steps import (
    BackedUp,
    CapsuleSealer,
    KeptStore,
    PruningProver,
    restore_points,
    sealed_capsules,
)
from backup.stores.folder import FolderStore
from backup.trail_folder import TrailFolder
from deploy.local.postgres.server import EmbeddedPostgres
from tests.support.small_capsules import make
from tests.support.trail.time_of_day import day_with

WITHIN_S = 250.0

pytestmark = pytest.mark.timeout(600)


class GoodFaith:
    """Takes every capsule for proven, and says so beside it."""

    async def prove(self, capsule: SealedCapsule) -> None:
        proof = Proof(
            capsule_sha256=capsule.sha256,
            day=capsule.day,
            from_store=None,
            proven_at=datetime.now(UTC),
            seconds=1.0,
            covers_to=capsule.covers_to,
        )
        write_proof(capsule.path.parent, capsule, proof)


@asynccontextmanager
async def backed_up(folder: Path) -> AsyncIterator[BackedUp]:
    async with EmbeddedPostgres(
        folder / "cluster", fsync=False, trail=folder / "trail"
    ) as postgres:
        yield BackedUp(
            dsn=postgres.dsn("backup"),
            databases={name: postgres.dsn(name, "backup") for name in ("orders", "inventory")},
            programs=PostgresPrograms(postgres.binaries.folder),
            trail=TrailFolder(folder / "trail"),
            within_s=WITHIN_S,
            full_every=7,
            reserve_bytes=0,
        )


async def test_a_day_is_sealed_once_unless_it_has_to_reach_further(tmp_path: Path) -> None:
    today = await day_with(timedelta(minutes=3))
    async with backed_up(tmp_path) as cluster:
        sealer = CapsuleSealer(cluster)
        first, same = await asyncio.gather(sealer.seal(today), sealer.seal(today))
        assert first == same
        assert await CapsuleSealer(cluster).seal(today, first.covers_to) == first
        further = await sealer.seal(today, first.covers_to + timedelta(microseconds=1))
        assert further.covers_to > first.covers_to
        assert further.day == first.day
        # a death between the label and the capsule, or a label that somebody has altered
        (further.path.with_name(label_name(further.path.name))).write_text("{}")
        assert await sealer.seal(today) == first
        points = await restore_points(cluster)
        assert len(points.bases) == 1


async def test_a_cluster_has_a_base_backup_before_its_first_day_is_over(tmp_path: Path) -> None:
    today = await day_with(timedelta(minutes=3))
    async with backed_up(tmp_path) as cluster:
        sealer = CapsuleSealer(cluster)
        keeping = asyncio.create_task(sealer.keep_base())
        async with asyncio.timeout(WITHIN_S):
            while not (await restore_points(cluster)).bases:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.1)
        capsule = await sealer.seal(today)
        [base] = (await restore_points(cluster)).bases
        assert base.ended_at == capsule.covers_from
        keeping.cancel()


async def test_what_a_proof_makes_superfluous_goes_and_nothing_else(tmp_path: Path) -> None:
    today = await day_with(timedelta(minutes=3))
    async with backed_up(tmp_path) as cluster:
        capsules = cluster.trail.capsules
        made = make(tmp_path)
        cluster.trail.public_key()  # where there are capsules, none is made any more
        made.folder = capsules
        good_faith = GoodFaith()
        long_ago = [made.seal(date(2026, 1, day)) for day in range(5, 13)]
        for old in long_ago:
            await good_faith.prove(old)
        sealer = CapsuleSealer(cluster)
        new = await sealer.seal(today)
        assert len(sealed_capsules(capsules)[0]) == 9  # it is not proven yet

        before = archive.names((await restore_points(cluster)).wal)
        await PruningProver(good_faith, cluster).prove(new)
        kept = [*(date(2026, 1, day) for day in range(7, 13)), today]
        assert [one.day for one in sealed_capsules(capsules)[0]] == kept
        assert [proof_file(capsules, one).exists() for one in long_ago[:3]] == [False, False, True]
        points = await restore_points(cluster)
        assert len(points.bases) == 1
        needed = points.bases[0].start_lsn // points.bases[0].cluster.segment_bytes
        after = archive.names(points.wal)
        assert {name for name in before if int(name[16:24], 16) >= needed} <= set(after)
        assert await sealer.seal(today) == new

        near = KeptStore(FolderStore("near", tmp_path / "near", reserve_bytes=0), capsules)
        for each in (*long_ago[2:], new, new):
            await near.put(each)
        assert [copy.day for copy in near.copies] == kept
