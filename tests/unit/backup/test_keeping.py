"""What may go, and what has to stay, of capsules, base backups and log files."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from backup.keeping import (
    Keeping,
    superfluous_bases,
    superfluous_copies,
    superfluous_log,
)
from backup.restore_points.base import BaseBackup
from backup.restore_points.wal import segment_name
from backup.restore_points.window import DAY
from backup.stores.store import Copy
from tests.support.small_capsules import SEGMENT, reach

TODAY = date(2026, 11, 26)
NOON = datetime.combine(TODAY, time(12), UTC)


def copy_of(day: date, hour: int = 2) -> Copy:
    to = datetime.combine(day, time(hour), UTC)
    return Copy(
        store="near",
        day=day,
        sha256=sha256(to.isoformat().encode()).hexdigest(),
        size_bytes=1,
        covers_from=to - timedelta(days=7),
        covers_to=to,
    )


def days_back(number: int) -> list[Copy]:
    return [copy_of(TODAY - timedelta(days=back)) for back in reversed(range(number))]


def hashes(copies: Iterable[Copy]) -> set[str]:
    return {copy.sha256 for copy in copies}


def left(copies: list[Copy], proven: set[str], keeping: Keeping | None = None) -> list[date]:
    going = superfluous_copies(copies, proven, keeping or Keeping())
    return [copy.day for copy in copies if copy not in going]


def test_seven_days_five_weeks_and_twelve_months_are_kept() -> None:
    copies = days_back(500)
    kept = left(copies, hashes(copies))
    assert kept[-7:] == [TODAY - timedelta(days=back) for back in reversed(range(7))]
    sundays = [day for day in kept if day.isoweekday() == 7]
    assert len(sundays) >= 4
    months = {(day.year, day.month) for day in kept}
    assert len(months) == 12
    # the last day of each of the ended months, and no second one of a month long gone
    assert [day for day in kept if day.month == 3] == [date(2026, 3, 31)]
    assert len(kept) <= 7 + 5 + 12


def test_nothing_goes_before_a_newer_one_was_proven() -> None:
    copies = days_back(40)
    assert left(copies, set()) == [copy.day for copy in copies]
    only_the_oldest = {copies[0].sha256}
    assert left(copies, only_the_oldest) == [copy.day for copy in copies]
    # behind one in the middle, later ones stay whatever they are worth
    middle = copies[20]
    kept = left(copies, {middle.sha256})
    assert kept[-19:] == [copy.day for copy in copies[21:]]
    assert middle.day in kept
    assert len(kept) < 40


def test_a_proof_of_a_capsule_that_is_not_in_this_place_lets_nothing_go() -> None:
    copies = days_back(40)
    assert left(copies, {copy_of(TODAY, 9).sha256}) == [copy.day for copy in copies]


def test_of_several_of_a_day_the_last_proven_one_stays() -> None:
    day = TODAY - timedelta(days=2)
    early, late, unproven = copy_of(day, 1), copy_of(day, 5), copy_of(day, 9)
    newest = copy_of(TODAY)
    copies = [early, late, unproven, newest]
    going = superfluous_copies(copies, hashes([early, late, newest]))
    assert going == [early, unproven]


def test_of_the_newest_day_all_stay() -> None:
    copies = [copy_of(TODAY, hour) for hour in (1, 5, 9)]
    assert superfluous_copies(copies, hashes(copies)) == []


def test_a_week_is_remembered_by_a_proven_day_rather_than_its_last() -> None:
    sunday = date(2026, 10, 25)
    copies = [copy_of(sunday - timedelta(days=1)), copy_of(sunday), copy_of(TODAY)]
    kept = left(copies, hashes([copies[0], copies[2]]), Keeping(daily=1, weekly=5, monthly=0))
    assert kept == [sunday - timedelta(days=1), TODAY]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 60), min_size=1), st.data())
def test_what_is_kept_each_day_is_never_missed_later(days: set[int], data: st.DataObject) -> None:
    """Pruning day after day keeps what pruning once at the end would keep of the dailies."""
    proven_days = data.draw(st.sets(st.sampled_from(sorted(days))))
    there: list[Copy] = []
    proven: set[str] = set()
    for number in sorted(days):
        copy = copy_of(TODAY + timedelta(days=number))
        there.append(copy)
        if number in proven_days:
            proven.add(copy.sha256)
            going = superfluous_copies(there, proven)
            there = [one for one in there if one not in going]
            assert copy in there
    newest_proven = max(proven_days, default=None)
    if newest_proven is not None:
        assert copy_of(TODAY + timedelta(days=newest_proven)) in there
    last_seven = sorted(days)[-7:]
    assert {TODAY + timedelta(days=number) for number in last_seven} <= {one.day for one in there}


def base(
    number: int, kind: str = "full", parent: str | None = None, timeline: int = 1
) -> BaseBackup:
    """Return the base backup of a day; ten segments of log lie between one and the next."""
    start = (3 + 10 * number) * SEGMENT
    ended = NOON + number * DAY
    update = {
        "name": f"base-{number}",
        "kind": kind,
        "parent": parent,
        "timeline": timeline,
        "start_lsn": start + 40,
        "end_lsn": start + 400,
        "started_at": ended,
        "ended_at": ended,
    }
    return reach().base.model_copy(update=update)


def test_base_backups_and_log_before_the_window_go() -> None:
    bases = [base(number) for number in range(10)]
    ends = [NOON + number * DAY + timedelta(minutes=5) for number in range(10)]
    now = ends[-1]
    going = superfluous_bases(now, ends, bases, bases)
    # the window begins a little after the third: everything since its end can be brought back
    assert [one.name for one in going] == ["base-0", "base-1"]
    names = [segment_name(1, number, SEGMENT) for number in range(120)]
    log = superfluous_log(now, ends, bases, [*names, "00000002.history"])
    assert log == names[:23]


def test_what_an_incremental_one_builds_on_stays_without_its_log() -> None:
    later = (base(number, "incremental", f"base-{number - 1}") for number in range(1, 10))
    bases = [base(0), *later]
    ends = [NOON + number * DAY + timedelta(minutes=5) for number in range(10)]
    assert superfluous_bases(ends[-1], ends, bases, bases) == []
    names = [segment_name(1, number, SEGMENT) for number in range(120)]
    assert superfluous_log(ends[-1], ends, bases, names) == names[:23]


def test_in_the_first_days_everything_stays() -> None:
    bases = [base(number) for number in range(3)]
    ends = [NOON + number * DAY for number in range(3)]
    assert superfluous_bases(ends[-1], ends, bases, bases) == []
    assert superfluous_log(ends[-1], ends, bases, [segment_name(1, 3, SEGMENT)]) == []


def test_without_a_base_backup_no_log_goes() -> None:
    names = [segment_name(1, number, SEGMENT) for number in range(5)]
    assert superfluous_log(NOON, [], [], names) == []
    assert superfluous_bases(NOON, [], [base(0)], []) == []


def test_base_backups_of_an_ended_life_go_with_those_of_their_time() -> None:
    ours = [base(number) for number in range(10)]
    stray = [
        base(0).model_copy(update={"name": "stray-0"}),
        base(9).model_copy(update={"name": "stray-9"}),
    ]
    ends = [NOON + number * DAY + timedelta(minutes=5) for number in range(10)]
    going = superfluous_bases(ends[-1], ends, [*ours, *stray], ours)
    assert [one.name for one in going] == ["base-0", "base-1", "stray-0"]
