"""B3: any second of a week, from any one of the seven capsules made since, the other six lost.

Days are of a second, or as long as it takes to back one up. All else is as on real ones: clients
write all the time, each day has its base backup, mostly incremental, and its capsule, and what the
window does not need any more is deleted.
"""

import asyncio
import random
import shutil
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pyrage
import pytest

from backup.capsule.contents import differences
from backup.capsule.make import ends_of_days, make_capsule
from backup.capsule.manifest import CapsuleManifest, SealedCapsule, label_name
from backup.capsule.open import OpenedCapsule, labelled, open_capsule, verify
from backup.restore.capsule_source import target_in
from backup.restore_points.window import still_needed
from tests.conftest import FIGURES
from tests.support.backed_up_cluster import (
    WITHIN_S,
    BackedUpCluster,
    backed_up_cluster,
    recovered,
)
from tests.support.trail.acknowledged import (
    Client,
    clients_at_work,
    later_than,
    lines_of,
    missing_at,
)

DAY_LENGTH = timedelta(seconds=1)
FIRST_DAY = date(2026, 2, 20)  # over the end of a February
DATABASE = "orders"
LEDGERS = {DATABASE: ("lines",)}


@dataclass(frozen=True)
class Plan:
    """In how many capsules each second is, and of how many days how many seconds are tried.

    After as many days `before` as a second has capsules, the first days are being let go of.
    """

    copies: int
    before: int
    week: int
    seconds: int

    @property
    def days(self) -> int:
        """All days: the last second of the week needs its capsules, too."""
        return self.before + self.week + self.copies - 1


SHORT = Plan(copies=2, before=0, week=1, seconds=1)
LONG = Plan(copies=7, before=7, week=7, seconds=20)
# Restores at a time.
AT_ONCE = 2


class Weeks:
    """A cluster that lives for some days under clients, its capsules, and restores of them."""

    def __init__(self, plan: Plan, cluster: BackedUpCluster, folder: Path) -> None:
        self.plan = plan
        self.dice = random.Random(11)
        self.clients = [Client(number, random.Random(number)) for number in range(1, 4)]
        self.capsules: list[SealedCapsule] = []
        self.manifests: list[CapsuleManifest] = []
        # By second: every capsule has to bring back the same.
        self.found: dict[datetime, set[int]] = {}
        self.restores = 0
        self._cluster = cluster
        self._identity = pyrage.x25519.Identity.generate()
        self._sealed = folder / "capsules"
        self._alone = folder / "alone"
        self._restored = folder / "restored"
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def live(self) -> None:
        """Live through all days."""
        async with clients_at_work(self._cluster.dsn, self.clients):
            for number in range(self.plan.days):
                await self._cluster.take(full_every=self.plan.copies)
                await self._seal(FIRST_DAY + timedelta(days=number))
                self._let_go()
        if self.plan.before:
            assert len(self._cluster.bases.all()) < self.plan.days
        self.manifests = [verify(capsule, str(self._identity)) for capsule in self.capsules]

    def lose_all_but_capsules(self) -> None:
        """Delete the database, the archive and the base backups."""
        for folder in (self._cluster.postgres.data, self._cluster.wal, self._cluster.bases.folder):
            shutil.rmtree(folder)

    def seconds(self) -> list[datetime]:
        """Return some moments of the week, to the microsecond, wherever they fall."""
        before, week = self.plan.before, self.plan.week
        begin = self.capsules[before - 1].covers_to if before else self.capsules[0].covers_from
        length = self.capsules[before + week - 1].covers_to - begin
        return [begin + self.dice.random() * length for _ in range(self.plan.seconds)]

    def made_since(self, second: datetime) -> list[SealedCapsule]:
        """Return the capsules that have to have a second; it is in each of them."""
        since = [capsule for capsule in self.capsules if capsule.covers_to >= second]
        assert len(since) >= self.plan.copies
        assert all(one.covers_from <= second for one in since[: self.plan.copies])
        return since[: self.plan.copies]

    def opened_alone(self, capsule: SealedCapsule) -> OpenedCapsule:
        """Open a capsule where nothing else is; it is deleted, so that no later one has it.

        It is read, compared and decrypted once, for all seconds that are restored from it.
        """
        self._alone.mkdir()
        for name in (capsule.path.name, label_name(capsule.path.name)):
            shutil.move(self._sealed / name, self._alone / name)
        moved = labelled(self._alone / capsule.path.name)
        opened = open_capsule(moved, str(self._identity), self._alone / "opened", day=capsule.day)
        moved.path.unlink()
        return opened

    def close(self) -> None:
        """Delete the capsule that was opened."""
        shutil.rmtree(self._alone)

    async def restore(self, opened: OpenedCapsule, second: datetime | None) -> None:
        """Restore to a second, or to the end for None, and compare it with what clients know.

        The restore is whole each time: a data folder as the base backup was, nothing that an
        earlier one has replayed, and Postgres itself reads the log from its beginning up to there.
        """
        up_to = second or opened.manifest.reach.covers_to
        async with self._turns:
            lines = await self._restored_lines(opened, second, up_to)
        assert not missing_at(up_to, lines, self.clients)
        # The end is a place in the log, a moment behind the one up to which all is there for sure.
        assert second is None or not later_than(second, lines, self.clients)
        assert self.found.setdefault(up_to, lines) == lines
        self.restores += 1

    async def _restored_lines(
        self, opened: OpenedCapsule, second: datetime | None, up_to: datetime
    ) -> set[int]:
        folder = self._restored / up_to.isoformat()
        await asyncio.to_thread(shutil.copytree, opened.base, folder / "data")
        found, target = await target_in(opened, second, self._cluster.bases.programs)
        async with recovered(self._cluster, folder, opened.wal, found, target) as server:
            dsns = {DATABASE: server.admin_dsn(DATABASE)}
            lines = await lines_of(dsns[DATABASE])
            for manifest in self.manifests:
                if manifest.reach.covers_to <= up_to:
                    assert await differences(manifest.contents, dsns) == []
        await asyncio.to_thread(shutil.rmtree, folder)
        return lines

    async def _seal(self, day: date) -> None:
        self.capsules.append(
            await make_capsule(
                day=day,
                dsn=self._cluster.dsn,
                databases={DATABASE: self._cluster.dsn},
                ledgers=LEDGERS,
                bases=self._cluster.bases,
                wal=self._cluster.wal,
                folder=self._sealed,
                earlier=self.capsules,
                recipients=[str(self._identity.to_public())],
                within_s=WITHIN_S,
                copies=self.plan.copies,
                day_length=DAY_LENGTH,
                reserve_bytes=0,
            )
        )

    def _let_go(self) -> None:
        bases = self._cluster.bases.all()
        needed = still_needed(
            self.capsules[-1].covers_to,
            ends_of_days(self.capsules),
            bases,
            copies=self.plan.copies,
            day=DAY_LENGTH,
        )
        self._cluster.bases.delete([base for base in bases if base not in needed])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("plan", [SHORT, pytest.param(LONG, marks=pytest.mark.full)], ids=str)
async def test_any_one_capsule_brings_back_any_second_of_its_days(
    plan: Plan, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    async with backed_up_cluster(tmp_path) as cluster:
        weeks = Weeks(plan, cluster, tmp_path)
        await weeks.live()
    weeks.lose_all_but_capsules()
    seconds = weeks.seconds()
    capsules_of = {second: weeks.made_since(second) for second in seconds}
    used = [one for one in weeks.capsules if any(one in each for each in capsules_of.values())]
    in_any_order = weeks.dice.sample(used, len(used))
    for capsule in in_any_order:
        opened = weeks.opened_alone(capsule)
        async with asyncio.TaskGroup() as group:
            for second, capsules in capsules_of.items():
                if capsule in capsules:
                    group.create_task(weeks.restore(opened, second))
        if capsule is in_any_order[-1]:
            await weeks.restore(opened, None)
        weeks.close()
    assert weeks.restores == plan.seconds * plan.copies + 1
    pytestconfig.stash[FIGURES].append(
        f"{plan.seconds} random seconds of {plan.week} days, each from {plan.copies} capsules, one "
        f"at a time: {weeks.restores - 1} restores, "
        f"{sum(len(client.history) for client in weeks.clients)} lines of clients, none missing, "
        "none of later"
    )
