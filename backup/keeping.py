"""Which capsules, base backups and files of the log may go: pure.

Nothing goes because of a capsule that nobody has restored: only behind a newer one that was proven,
and that the same place has.
"""

from collections.abc import Callable, Container, Hashable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from backup.restore_points.base import BaseBackup
from backup.restore_points.wal import is_history, segment_number
from backup.restore_points.window import base_for, still_needed, window_start
from backup.stores.store import Copy


@dataclass(frozen=True, slots=True)
class Keeping:
    """Of how many days, weeks and months one capsule each is kept."""

    daily: int = 7
    weekly: int = 5
    monthly: int = 12


KEEPING = Keeping()


def superfluous_copies(
    copies: Sequence[Copy], proven: Container[str], keeping: Keeping = KEEPING
) -> list[Copy]:
    """Return the copies in one place that may be deleted; `proven` are hashes of capsules.

    Of the newest proven day all are kept: another backup may be at work with one of them.
    """
    newest = max(
        (copy for copy in copies if copy.sha256 in proven),
        key=lambda copy: copy.covers_to,
        default=None,
    )
    if newest is None:
        return []
    best = _best_of_each_day(copies, proven)
    kept_days = {
        *_newest(best, proven, lambda day: day, keeping.daily),
        *_newest(best, proven, lambda day: day.isocalendar()[:2], keeping.weekly),
        *_newest(best, proven, lambda day: (day.year, day.month), keeping.monthly),
    }
    kept = {best[day].sha256 for day in kept_days}
    return [
        copy
        for copy in copies
        if copy.day < newest.day and copy.covers_to < newest.covers_to and copy.sha256 not in kept
    ]


def superfluous_bases(
    now: datetime, ends: Sequence[datetime], bases: Sequence[BaseBackup], ours: Sequence[BaseBackup]
) -> list[BaseBackup]:
    """Return the base backups that no coming capsule needs.

    `ends` is up to where the capsules so far reach, `ours` are those of `bases` that lead on to
    the present life of the cluster.
    """
    if not ours:
        return []
    needed = {base.name for base in still_needed(now, ends, ours)}
    first = base_for(window_start(now, ends), ours)
    return [base for base in bases if base.name not in needed and base.ended_at <= first.ended_at]


def superfluous_log(
    now: datetime, ends: Sequence[datetime], ours: Sequence[BaseBackup], names: Sequence[str]
) -> list[str]:
    """Return the files of an archive that lie before what any coming capsule begins with."""
    if not ours:
        return []
    first = base_for(window_start(now, ends), ours)
    size = first.cluster.segment_bytes
    return [
        name
        for name in names
        if not is_history(name) and segment_number(name, size) < first.start_lsn // size
    ]


def _best_of_each_day(copies: Sequence[Copy], proven: Container[str]) -> dict[date, Copy]:
    """Return of each day a proven capsule rather than another, and the last one of several."""
    in_order = sorted(copies, key=lambda copy: (copy.sha256 in proven, copy.covers_to))
    return {copy.day: copy for copy in in_order}


def _newest(
    best: dict[date, Copy],
    proven: Container[str],
    period: Callable[[date], Hashable],
    number: int,
) -> list[date]:
    """Return one day of each of the newest periods: the last proven one, else the last."""
    in_order = sorted(best, key=lambda day: (best[day].sha256 in proven, day))
    of_each = {period(day): day for day in in_order}
    return sorted(of_each.values(), reverse=True)[:number]
