"""Any second of the last days, from any one of the capsules made since: with days of a second.

Three days and copies instead of seven: what is counted is the same.
"""

import random
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import pyrage
import pytest

from backup.capsule.contents import differences
from backup.capsule.make import ends_of_days, make_capsule
from backup.capsule.manifest import SealedCapsule
from backup.capsule.open import labelled, open_capsule
from backup.restore_points.point_in_time import Target
from backup.restore_points.window import still_needed
from tests.support.backed_up_cluster import (
    WITHIN_S,
    BackedUpCluster,
    backed_up_cluster,
    count,
    recovered,
)

COPIES = 3
DAYS = 6
DAY_LENGTH = timedelta(seconds=1)
FIRST_DAY = date(2026, 2, 26)  # over the end of a February
LEDGERS = {"orders": ("lines",)}


async def live(
    cluster: BackedUpCluster, folder: Path, recipient: str
) -> tuple[list[SealedCapsule], list[tuple[datetime, int]]]:
    """Live for some days; return the capsules, and how many lines there were at which moments."""
    capsules: list[SealedCapsule] = []
    moments: list[tuple[datetime, int]] = []
    for number in range(DAYS):
        await cluster.take(full_every=COPIES)
        for _ in range(3):
            moment = await cluster.add(10)
            moments.append((moment, await cluster.count()))
        capsule = await make_capsule(
            day=FIRST_DAY + timedelta(days=number),
            dsn=cluster.dsn,
            databases={"orders": cluster.dsn},
            ledgers=LEDGERS,
            bases=cluster.bases,
            wal=cluster.wal,
            folder=folder,
            earlier=capsules,
            recipients=[recipient],
            within_s=WITHIN_S,
            copies=COPIES,
            day_length=DAY_LENGTH,
            reserve_bytes=0,
        )
        capsules.append(capsule)
        needed = {
            base.name
            for base in still_needed(
                capsule.covers_to,
                ends_of_days(capsules),
                cluster.bases.all(),
                copies=COPIES,
                day=DAY_LENGTH,
            )
        }
        for base in cluster.bases.all():
            if base.name not in needed:
                shutil.rmtree(cluster.bases.folder / base.name)
    return capsules, moments


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_any_one_capsule_brings_back_any_second_of_its_days(tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    sealed = tmp_path / "capsules"
    async with backed_up_cluster(tmp_path) as cluster:
        capsules, moments = await live(cluster, sealed, str(identity.to_public()))
        assert len(cluster.bases.all()) < DAYS

    # each moment is in all of the next capsules, whichever of them are lost
    for moment, _ in moments:
        later = [capsule for capsule in capsules if capsule.covers_to >= moment][:COPIES]
        assert all(capsule.covers_from <= moment for capsule in later)

    dice = random.Random(11)
    survivors = dice.sample(capsules[COPIES - 1 :], 2)
    for lost in capsules:
        if lost not in survivors:
            lost.path.unlink()
    for number, capsule in enumerate(survivors):
        opened = open_capsule(
            labelled(capsule.path), str(identity), tmp_path / f"opened-{number}", day=capsule.day
        )
        contained = [one for one in moments if capsule.covers_from <= one[0] <= capsule.covers_to]
        moment, lines = dice.choice(contained)
        assert len(contained) >= COPIES * 3
        for target, expected in ((moment, lines), (None, contained[-1][1])):
            folder = tmp_path / f"restored-{number}-{'end' if target is None else 'moment'}"
            shutil.copytree(opened.base, folder / "data")
            async with recovered(
                cluster, folder, opened.wal, opened.manifest.reach, Target(moment=target)
            ) as server:
                assert await count(server) == expected
                if target is None:
                    dsns = {"orders": server.admin_dsn("orders")}
                    assert await differences(opened.manifest.contents, dsns) == []
