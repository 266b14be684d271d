"""How far a base backup and the log behind it reach, and whether nothing is missing on the way."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel

from backup.errors import ArchiveIncomplete
from backup.restore_points import archive
from backup.restore_points.base import BaseBackup
from backup.restore_points.cluster import Mark
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.wal import (
    Lsn,
    TimelineSwitch,
    check_header,
    first_gap,
    history_name,
    is_history,
    is_segment,
    needed_segments,
    parse_history,
    segment_number,
)
from backup.restore_points.waldump import commits_in

HEADER_BYTES = 64


class Reach(BaseModel, frozen=True):
    """What can be restored: from the end of a base backup to a place in the log.

    Up to `covers_to` the log holds a later commit, by which a recovery knows that it is done. Both
    moments are of the database's clock. If that was set back in between, a moment that it showed
    twice means the first time; `end_lsn` is the end all the same, and behind it there is another
    record, up to `closed_lsn`. It is None where the log simply ends, in an archive.
    """

    base: BaseBackup
    timeline: int
    history: tuple[TimelineSwitch, ...]
    end_lsn: Lsn | None
    closed_lsn: Lsn
    covers_from: datetime
    covers_to: datetime

    def segments(self) -> list[str]:
        """Return the files of the log that a recovery to the end reads."""
        return needed_segments(
            start=self.base.start_lsn,
            end=self.closed_lsn,
            base_end=self.base.end_lsn,
            base_timeline=self.base.timeline,
            timeline=self.timeline,
            history=self.history,
            segment_bytes=self.base.cluster.segment_bytes,
        )

    def needed(self) -> list[str]:
        """Return all files of the archive without which a recovery to the end is not possible."""
        histories = [history_name(self.timeline)] if self.history else []
        return [*histories, *self.segments()]

    def files(self, present: Sequence[str]) -> list[str]:
        """Choose from an archive: what is needed, and what else lies behind the base's beginning.

        That is all the log of a life that a restore has ended, however far it went, and the
        histories of all timelines.
        Raises `ArchiveIncomplete` if a needed file is missing.
        """
        size = self.base.cluster.segment_bytes
        self.require(present)
        first = segment_number(self.segments()[0], size)
        last = (self.closed_lsn - 1) // size
        return [
            name
            for name in present
            if is_history(name)
            or (
                is_segment(name)
                and first <= segment_number(name, size)
                and (segment_number(name, size) <= last or int(name[:8], 16) != self.timeline)
            )
        ]

    def before(self, name: str) -> "Reach | None":
        """Return what can be restored without a file of the log, and all behind it; None: nothing.

        Where a life began behind the file, that is its former life up to there. Up to when it
        covers, is to be looked up.
        """
        size = self.base.cluster.segment_bytes
        needed = self.segments()
        kept = needed[: needed.index(name)]
        closed_lsn = segment_number(name, size) * size
        if not kept or closed_lsn < self.base.end_lsn:
            return None
        timeline = int(kept[-1][:8], 16)
        return self.model_copy(
            update={
                "timeline": timeline,
                "history": tuple(one for one in self.history if one.timeline < timeline),
                "end_lsn": None,
                "closed_lsn": closed_lsn,
                "covers_to": self.base.ended_at,
            }
        )

    def require(self, present: Sequence[str]) -> None:
        """Refuse a log with a gap: a recovery would take it for the end."""
        missing = first_gap(self.needed(), present)
        if missing is not None:
            raise is_missing(missing)

    def check_segment(self, name: str, head: bytes) -> None:
        """Refuse a file that does not hold what its name says, from its first bytes, unpacked."""
        if is_segment(name):
            cluster = self.base.cluster
            check_header(
                name,
                head,
                system_identifier=cluster.system_identifier,
                segment_bytes=cluster.segment_bytes,
            )


def is_missing(name: str) -> ArchiveIncomplete:
    """Return what is wrong with a log that lacks this file."""
    return ArchiveIncomplete(f"the log file {name} is missing: nothing after it could be restored")


def lead_on(bases: Sequence[BaseBackup], timeline: int, wal: Path) -> list[BaseBackup]:
    """Return the base backups from which a recovery can get to `timeline`.

    A restore ends a life of the cluster at some place in its log. What was backed up in that life
    behind this place leads nowhere that the new one has been.
    """
    left_at = {switch.timeline: switch.lsn for switch in history_of(timeline, wal)}
    return [
        base
        for base in bases
        if base.timeline == timeline or base.end_lsn <= left_at.get(base.timeline, -1)
    ]


def reach_to(mark: Mark, base: BaseBackup, wal: Path) -> Reach:
    """Return what can be restored from a base backup and a log that is archived up to a mark."""
    return Reach(
        base=base,
        timeline=mark.timeline,
        history=history_of(mark.timeline, wal),
        end_lsn=mark.lsn,
        closed_lsn=mark.closed_lsn,
        covers_from=base.ended_at,
        covers_to=mark.at,
    )


async def reach_of_archive(
    base: BaseBackup, wal: Path, programs: PostgresPrograms, *, timeline: int | None = None
) -> Reach:
    """Return what can be restored from a base backup and all that was archived, without a server.

    For the day on which the database is gone. The log ends where the next file is missing. It is
    that of the newest timeline unless another is named.
    """
    size = base.cluster.segment_bytes
    present = archive.names(wal)
    if timeline is None:
        # By its log: a life of which only the history was archived has not done anything yet.
        lives = (int(name[:8], 16) for name in present if is_segment(name))
        timeline = max([base.timeline, *lives])
    numbers = [
        segment_number(name, size)
        for name in present
        if is_segment(name) and int(name[:8], 16) == timeline
    ]
    end = (max(numbers, default=0) + 1) * size
    found = Reach(
        base=base,
        timeline=timeline,
        history=history_of(timeline, wal),
        end_lsn=None,
        closed_lsn=max(end, base.end_lsn),
        covers_from=base.ended_at,
        covers_to=base.ended_at,
    )
    missing = first_gap(found.segments(), present)
    if missing is not None:
        ends_there = found.before(missing)
        if ends_there is None:
            raise is_missing(missing)
        found = ends_there
    return await up_to_last_commit(found, wal, programs)


async def up_to_last_commit(found: Reach, wal: Path, programs: PostgresPrograms) -> Reach:
    """Look up to which moment a log reaches that nobody has marked the end of."""
    for name in reversed(found.segments()):
        try:
            moments = [at for _, at in await commits_in(name, wal, programs)]
        except ArchiveIncomplete:
            continue  # who reads all of the log finds that, and ends it before
        if moments:
            # At the last commit itself there is none behind it any more.
            last = max(moments) - timedelta(microseconds=1)
            return found.model_copy(update={"covers_to": max(last, found.base.ended_at)})
    return found


def check_archive(found: Reach, wal: Path) -> None:
    """Read every file of the log that a recovery needs; refuse gaps, damage and strangers."""
    found.require(archive.names(wal))
    for name in found.segments():
        found.check_segment(name, archive.read(wal, name)[:HEADER_BYTES])


def history_of(timeline: int, wal: Path) -> tuple[TimelineSwitch, ...]:
    """Return the timelines that one comes from, read from the archive; none for the first."""
    if timeline == 1:
        return ()
    try:
        return parse_history(archive.read(wal, history_name(timeline)).decode())
    except FileNotFoundError as error:
        raise ArchiveIncomplete(
            f"{history_name(timeline)} is missing in {wal}: where timeline {timeline} begins"
            " is not known"
        ) from error
