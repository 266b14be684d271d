"""The archive as a source: base backups, and the log as the living cluster has left it."""

from datetime import datetime
from pathlib import Path

from backup.errors import BackupProblem, NotCovered
from backup.restore.moment import in_words
from backup.restore.server import DATA
from backup.restore.sources import LaidOut, Offer, Say
from backup.restore_points.base import BaseFolder
from backup.restore_points.lives import reach_for
from backup.restore_points.point_in_time import Target
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.reach import Reach, check_archive
from backup.trail_folder import TrailFolder


class ArchiveSource:
    """What is in the folder of the trail, of one of its clusters if several are known there.

    `cluster` is the system identifier of the one that is meant, None for the one that has the
    moment.
    """

    def __init__(
        self,
        trail: TrailFolder,
        programs: PostgresPrograms,
        *,
        cluster: str | None,
        within_s: float,
        say: Say,
    ) -> None:
        self._trail = trail
        self._programs = programs
        self._cluster = cluster
        self._within_s = within_s
        self._say = say

    async def check(self, at: datetime | None) -> Offer:
        """Read the base backups and every file of the log."""
        offer = await self._offer(at)
        bases = self._bases(offer.reach)
        for link in bases.chain(offer.reach.base):
            self._say(f"reading the {link.kind} base backup of {in_words(link.ended_at)}")
            await bases.verify(bases.data(link), within_s=self._within_s)
        self._read_log(offer.reach)
        return offer

    async def lay_out(self, at: datetime | None, into: Path) -> LaidOut:
        """Read the log, then the base backups while they are combined."""
        offer = await self._offer(at)
        self._read_log(offer.reach)
        base = offer.reach.base
        self._say(f"reading and combining the base backup of {in_words(base.ended_at)}")
        await self._bases(offer.reach).combine(base, into / DATA, within_s=self._within_s)
        return LaidOut(
            offer=offer,
            data=into / DATA,
            wal=self._trail.wal(base.cluster.system_identifier),
            reach=offer.reach,
            target=Target(moment=at, timeline=offer.reach.timeline),
        )

    def _bases(self, found: Reach) -> BaseFolder:
        return BaseFolder(self._trail.bases(found.base.cluster.system_identifier), self._programs)

    def _read_log(self, found: Reach) -> None:
        wal = self._trail.wal(found.base.cluster.system_identifier)
        self._say(f"reading {len(found.segments())} files of the log")
        check_archive(found, wal)

    async def _offer(self, at: datetime | None) -> Offer:
        known = [self._cluster] if self._cluster else self._trail.known_clusters()
        if not known:
            raise NotCovered(
                f"there is no archive in {self._trail.folder}: nothing was ever backed up there"
            )
        found: dict[str, Reach] = {}
        problems: list[BackupProblem] = []
        for cluster in known:
            try:
                found[cluster] = await self._reach(cluster, at)
            except BackupProblem as problem:
                problems.append(problem)
        if not found:
            raise problems[-1]
        if at is not None and len(found) > 1:
            names = ", ".join(f"archive/{cluster}" for cluster in found)
            raise NotCovered(
                f"{in_words(at)} is in the archives of several clusters: name one of {names}"
            )
        latest = max(found.values(), key=lambda reach: reach.covers_to)
        return Offer(
            what=f"the archive of cluster {latest.base.cluster.system_identifier}",
            reach=latest,
            up_to=at or latest.covers_to,
            latest=latest.covers_to,
        )

    async def _reach(self, cluster: str, at: datetime | None) -> Reach:
        bases = BaseFolder(self._trail.bases(cluster), self._programs).all()
        wal = self._trail.wal(cluster)
        if not wal.is_dir():
            raise NotCovered(f"there is no archive of cluster {cluster} in {self._trail.folder}")
        return await reach_for(at, bases, wal, self._programs)
