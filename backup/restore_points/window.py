"""Which base backup a capsule begins with, so that each second is in so many capsules: pure.

A capsule that is made at M promises every moment from M back to the start of its window. The window
is `copies` days long, but never shorter than the last `copies` capsules took to be made: capsules
come late, or not at all, and a second must not fall between two windows because of that. So every
moment is in at least the next `copies` capsules, whatever the clock and the schedule did.

Moments are those of the database's clock; what a day is, the caller says.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from backup.errors import NotCovered
from backup.restore_points.base import BaseBackup

COPIES = 7
DAY = timedelta(days=1)


def window_start(
    made_at: datetime, earlier: Sequence[datetime], *, copies: int = COPIES, day: timedelta = DAY
) -> datetime:
    """Return the moment from which on a capsule made at `made_at` has to contain everything.

    `earlier` are the moments up to which the capsules before it reach, in the order they were made.
    As long as they are too few, that is everything there is.
    """
    if len(earlier) < copies:
        return datetime.min.replace(tzinfo=UTC)
    return min(made_at - copies * day, earlier[-copies])


def base_for(start: datetime, bases: Sequence[BaseBackup]) -> BaseBackup:
    """Return the newest base backup from which every moment since `start` can be reached.

    A cluster can be brought back to the end of a base backup and to each moment after it. In the
    first days there is none that old: then it is the oldest, and the capsule says so.
    """
    if not bases:
        raise NotCovered("there is no base backup yet: without one, nothing can be sealed")
    old_enough = [base for base in bases if base.ended_at <= start]
    if old_enough:
        return max(old_enough, key=_place)
    return min(bases, key=lambda base: base.ended_at)


def bases_for(start: datetime, bases: Sequence[BaseBackup]) -> list[BaseBackup]:
    """Return what a capsule can begin with, best first: `base_for` says which, then newer ones.

    A newer one reaches back less far, and needs neither what is damaged in an older one nor the log
    before itself.
    """
    first = base_for(start, bases)
    newer = [base for base in bases if _place(base) > _place(first)]
    return [first, *sorted(newer, key=_place)]


def still_needed(
    now: datetime,
    earlier: Sequence[datetime],
    bases: Sequence[BaseBackup],
    *,
    copies: int = COPIES,
    day: timedelta = DAY,
) -> list[BaseBackup]:
    """Return the base backups that the next capsules need, in the order of the log.

    `bases` are those that lead on to the present life of the cluster (`reach.lead_on`): one of a
    life that was ended could be taken for the one to begin with, and the good ones would be let go.
    Those are the one that a capsule made now begins with, all newer ones, and what they build on.
    Log files before the first of them that a capsule can begin with are not needed either.
    """
    if not bases:
        return []
    first = base_for(window_start(now, earlier, copies=copies, day=day), bases)
    by_name = {base.name: base for base in bases}
    needed: dict[str, BaseBackup] = {}
    for base in bases:
        if _place(base) < _place(first):
            continue
        link: BaseBackup | None = base
        while link is not None and link.name not in needed:
            needed[link.name] = link
            link = by_name.get(link.parent) if link.parent is not None else None
    return sorted(needed.values(), key=_place)


def _place(base: BaseBackup) -> tuple[int, int]:
    """Return what puts base backups into the order of the log."""
    return base.timeline, base.end_lsn
