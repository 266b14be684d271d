"""The lives of a cluster: each restore ends one, and begins the next on a timeline of its own.

A moment means what the database held when its clock showed it, so it belongs to the life that it
led then. Who brings Monday back on Tuesday, and on Wednesday wants Tuesday's first hours again,
has to get them from the life that was ended, and not from the one that was a Monday's by then.
"""

from collections.abc import Container, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from backup.errors import ArchiveIncomplete, NotCovered
from backup.restore_points import archive
from backup.restore_points.base import BaseBackup
from backup.restore_points.cluster import RESTORED
from backup.restore_points.programs import PostgresPrograms
from backup.restore_points.reach import (
    Reach,
    history_of,
    lead_on,
    reach_of_archive,
)
from backup.restore_points.wal import (
    Lsn,
    is_segment,
    segment_name,
)
from backup.restore_points.waldump import commits_in, mark_in

_ALWAYS = datetime.min.replace(tzinfo=UTC)
# What a recovery logs before the mark seldom fills a file.
_MARK_WITHIN_FILES = 3
_UNKNOWN = datetime.max.replace(tzinfo=UTC)


class Life(BaseModel, frozen=True):
    """A timeline, and what the clock showed at its first commit."""

    timeline: int
    # The beginning of time if it began before the log that is there, the end of it if what is there
    # of it cannot be read.
    begins_at: datetime


async def lives_in(wal: Path, segment_bytes: int, programs: PostgresPrograms) -> list[Life]:
    """Return all lives of which the archive knows a commit, the newest last."""
    present = archive.names(wal)
    timelines = {int(name[:8], 16) for name in present if is_segment(name)}
    found = []
    for timeline in sorted(timelines):
        files = [name for name in present if is_segment(name) and int(name[:8], 16) == timeline]
        history = history_of(timeline, wal)
        began_at = history[-1].lsn if history else 0
        first = segment_name(timeline, began_at // segment_bytes, segment_bytes)
        begins = _ALWAYS
        if history and files[0] == first:
            begun = await _first_commit(files, began_at, wal, programs)
            if begun is None:
                continue  # nothing ever happened in it
            begins = begun
        found.append(Life(timeline=timeline, begins_at=begins))
    return sorted(found, key=lambda life: (life.begins_at, life.timeline))


class Ways(BaseModel, frozen=True):
    """The life that a moment belongs to, and the base backups that lead there, the newest first."""

    timeline: int
    bases: tuple[BaseBackup, ...]
    # What a person should know of the choice.
    notes: tuple[str, ...] = ()


async def ways_to(
    moment: datetime | None,
    bases: Sequence[BaseBackup],
    wal: Path,
    programs: PostgresPrograms,
) -> Ways:
    """Return what can be restored from to get to `moment`, None for the end of the newest life.

    Raises `NotCovered` if there is nothing.
    """
    if not bases:
        raise NotCovered("there is no base backup: without one, a log is of no use")
    lives = await lives_in(wal, bases[0].cluster.segment_bytes, programs)
    then = [life for life in lives if moment is None or life.begins_at <= moment]
    if not then:
        raise ArchiveIncomplete(f"there is no log in {wal}")
    timeline, notes = then[-1].timeline, list[str]()
    if moment is None:
        started = {base.timeline for base in bases}
        timeline, notes = await _newest_lived(then, started, wal, programs)
    before = lead_on(bases, timeline, wal)
    usable = [base for base in before if moment is None or base.ended_at <= moment]
    if not usable:
        since = min((base.ended_at for base in before), default=None)
        known = f"it begins at {since.isoformat()}" if since else "no base backup leads there"
        raise NotCovered(f"{moment.isoformat() if moment else 'the end'} is not in here: {known}")
    newest_first = sorted(usable, key=lambda base: (base.timeline, base.end_lsn), reverse=True)
    return Ways(timeline=timeline, bases=tuple(newest_first), notes=tuple(notes))


async def _newest_lived(
    lives: Sequence[Life], started: Container[int], wal: Path, programs: PostgresPrograms
) -> tuple[int, list[str]]:
    """Return the newest life in which anything was done, and say which ones were passed over.

    By its number: each restore takes one that is higher than all, whatever the clock shows. A life
    with a base backup of its own was `started`.
    """
    notes: list[str] = []
    for timeline in sorted((life.timeline for life in lives), reverse=True):
        if timeline in started or not await _only_restored(timeline, wal, programs):
            return timeline, notes
        notes.append(
            f"the life on timeline {timeline} was passed over: a restore began it, and nothing was"
            " done in it since, as if the restore had been stopped half-way. To have it all the"
            " same, give its moment (--at)"
        )
    raise ArchiveIncomplete(f"there is no log in {wal}")


async def _only_restored(timeline: int, wal: Path, programs: PostgresPrograms) -> bool:
    """Tell whether a life has no commit behind the mark with which a restore begins it.

    One without the mark near its beginning was begun by somebody else, or is an old one.
    """
    present = archive.names(wal)
    files = [name for name in present if is_segment(name) and int(name[:8], 16) == timeline]
    marked: Lsn | None = None
    behind = 0
    for number, name in enumerate(files):
        if marked is None and number >= _MARK_WITHIN_FILES:
            return False
        try:
            if marked is None:
                marked = await mark_in(name, RESTORED, wal, programs)
            commits = [lsn for lsn, _ in await commits_in(name, wal, programs)]
        except ArchiveIncomplete:
            return False  # nobody knows what was in there
        if marked is not None:
            behind += sum(lsn > marked for lsn in commits)
        if behind > 1:  # the first one is that of the mark itself
            return False
    return marked is not None


async def reach_for(
    moment: datetime | None,
    bases: Sequence[BaseBackup],
    wal: Path,
    programs: PostgresPrograms,
) -> Reach:
    """Return what can be restored of the life that `moment` belongs to, None for its newest end.

    It begins with the newest base backup from which the moment can be reached. Raises `NotCovered`
    if there is none, or if the log does not go that far.
    """
    ways = await ways_to(moment, bases, wal, programs)
    found = await reach_of_archive(ways.bases[0], wal, programs, timeline=ways.timeline)
    if moment is not None:
        require_covered(moment, found.covers_to)
    return found


def require_covered(moment: datetime, covers_to: datetime, why: str = "") -> None:
    """Refuse a moment behind the end of a log; `why` says for what reason it ends there."""
    if moment > covers_to:
        because = f": {why}" if why else ""
        raise NotCovered(
            f"{moment.isoformat()} is not in here: the log of that time ends at"
            f" {covers_to.isoformat()}{because}"
        )


async def last_commit(
    timeline: int, wal: Path, programs: PostgresPrograms, default: datetime
) -> datetime:
    """Return when the last commit of a life was that can be read, whatever is missing before it."""
    present = archive.names(wal)
    files = [name for name in present if is_segment(name) and int(name[:8], 16) == timeline]
    for name in reversed(files):
        try:
            moments = [at for _, at in await commits_in(name, wal, programs)]
        except ArchiveIncomplete:
            continue
        if moments:
            return max(moments)
    return default


async def _first_commit(
    files: Sequence[str], since: Lsn, wal: Path, programs: PostgresPrograms
) -> datetime | None:
    """Return when a life's first commit was that can be read, None if there is none at all.

    A damaged file must not hide the lives and moments that do not need it. A life begins at the
    next commit then, or has no moment of its own that is known: its former one had ended before.
    """
    none = None
    for name in files:
        try:
            commits = await commits_in(name, wal, programs)
        except ArchiveIncomplete:
            none = _UNKNOWN
            continue
        for lsn, at in commits:
            if lsn >= since:
                return at
    return none
