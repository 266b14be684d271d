"""The archive as a source: base backups, and the log as the living cluster has left it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from backup.errors import ArchiveIncomplete, BackupProblem, BaseUnusable, NotCovered
from backup.restore.moment import in_words
from backup.restore.server import DATA
from backup.restore.sources import LaidOut, Offer, Say
from backup.restore_points.base import BaseBackup, BaseFolder
from backup.restore_points.lives import Ways, last_commit, require_covered, ways_to
from backup.restore_points.point_in_time import Target
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.reach import Reach, reach_of_archive
from backup.restore_points.whole_log import whole_log
from backup.trail_folder import TrailFolder

# A base backup, or its part of the log, without which others are as good.
_DAMAGED = (ArchiveIncomplete, BaseUnusable)


@dataclass(frozen=True, slots=True)
class _Archive:
    """What is known of one cluster; `covers_to` tells it from others, and is none of its own."""

    bases: BaseFolder
    wal: Path
    ways: Ways
    covers_to: datetime


_Attempt = Callable[[_Archive, BaseBackup], Awaitable[Offer]]


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

        async def read(archive: _Archive, base: BaseBackup) -> Offer:
            for link in archive.bases.chain(base):
                self._say(f"reading the {link.kind} base backup of {in_words(link.ended_at)}")
                await archive.bases.verify(archive.bases.data(link), within_s=self._within_s)
            return await self._offer(archive, base, at)

        return await self._first_whole(await self._archive(at), read)

    async def lay_out(self, at: datetime | None, into: Path) -> LaidOut:
        """Read the log, then the base backups while they are combined."""

        async def combine(archive: _Archive, base: BaseBackup) -> Offer:
            offer = await self._offer(archive, base, at)
            self._say(f"reading and combining the base backup of {in_words(base.ended_at)}")
            await archive.bases.combine(base, into / DATA, within_s=self._within_s)
            return offer

        archive = await self._archive(at)
        offer = await self._first_whole(archive, combine)
        return LaidOut(
            offer=offer,
            data=into / DATA,
            wal=archive.wal,
            reach=offer.reach,
            target=Target(moment=at, timeline=offer.reach.timeline),
        )

    async def _first_whole(self, archive: _Archive, attempt: _Attempt) -> Offer:
        """Return what came of the newest base backup that is whole, with the log that it needs."""
        for note in archive.ways.notes:
            self._say(note)
        notes = list(archive.ways.notes)
        problems: list[BackupProblem] = []
        for base in archive.ways.bases:
            try:
                return (await attempt(archive, base)).noting(notes)
            except _DAMAGED as problem:
                problems.append(problem)
                notes.append(
                    f"the base backup of {in_words(base.ended_at)} was passed over: {problem}"
                )
                self._say(notes[-1])
        if len(problems) == 1:
            raise problems[0]
        raise BaseUnusable(f"no base backup of that time can be used: {'; '.join(notes)}")

    async def _offer(self, archive: _Archive, base: BaseBackup, at: datetime | None) -> Offer:
        timeline = archive.ways.timeline
        found = await reach_of_archive(base, archive.wal, self._programs, timeline=timeline)
        self._say(f"reading {len(found.segments())} files of the log")
        whole, problem = await whole_log(found, archive.wal, self._programs)
        if at is not None:
            require_covered(at, whole.covers_to, problem)
        what = f"the archive of cluster {base.cluster.system_identifier}"
        notes = (_ends_early(what, whole, problem),) if problem else ()
        for note in notes:
            self._say(note)
        return Offer(
            what=what,
            reach=whole,
            up_to=at or whole.covers_to,
            latest=whole.covers_to,
            notes=notes,
        )

    async def _archive(self, at: datetime | None) -> _Archive:
        """Return the archive of the cluster that is meant, or of the one that reaches furthest."""
        known = [self._cluster] if self._cluster else self._trail.known_clusters()
        if not known:
            raise NotCovered(
                f"there is no archive in {self._trail.folder}: nothing was ever backed up there"
            )
        found: dict[str, _Archive] = {}
        problems: list[BackupProblem] = []
        for cluster in known:
            try:
                found[cluster] = await self._known(cluster, at, alone=len(known) == 1)
            except BackupProblem as problem:
                problems.append(problem)
        if not found:
            raise problems[-1]
        if at is not None and len(found) > 1:
            names = ", ".join(f"archive/{cluster}" for cluster in found)
            raise NotCovered(
                f"{in_words(at)} is in the archives of several clusters: name one of {names}"
            )
        return max(found.values(), key=lambda archive: archive.covers_to)

    async def _known(self, cluster: str, at: datetime | None, *, alone: bool) -> _Archive:
        bases = BaseFolder(self._trail.bases(cluster), self._programs)
        wal = self._trail.wal(cluster)
        if not wal.is_dir():
            raise NotCovered(f"there is no archive of cluster {cluster} in {self._trail.folder}")
        ways = await ways_to(at, bases.all(), wal, self._programs)
        newest = ways.bases[0].ended_at
        if alone:
            return _Archive(bases, wal, ways, newest)
        # Whether all is whole up to there is looked at later: this only tells whose moment it is.
        covers_to = await last_commit(ways.timeline, wal, self._programs, newest)
        if at is not None:
            require_covered(at, covers_to)
        return _Archive(bases, wal, ways, covers_to)


def _ends_early(what: str, whole: Reach, problem: str) -> str:
    return (
        f"{problem}. So {what} ends at {in_words(whole.covers_to)}: all that was committed up to"
        " then can be brought back from it, and nothing later. Later moments may be in a capsule,"
        " which also mends the archive: restore from capsules, or from the name of a store"
    )
