"""Each second is in seven capsules: with any schedule, late, early, or with days left out."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.errors import NotCovered
from backup.restore_points.base import BaseBackup
from backup.restore_points.cluster import Cluster
from backup.restore_points.window import COPIES, DAY, base_for, still_needed, window_start

START = datetime(2026, 2, 24, tzinfo=UTC)
CLUSTER = Cluster(
    system_identifier="77", server_version=180006, segment_bytes=16 * 1024 * 1024, now=START
)


def base(number: int, ended_at: datetime, parent: str | None = None) -> BaseBackup:
    return BaseBackup(
        name=f"base-{number}",
        kind="full" if parent is None else "incremental",
        parent=parent,
        cluster=CLUSTER,
        timeline=1,
        start_lsn=number * 100,
        end_lsn=number * 100 + 50,
        started_at=ended_at - timedelta(minutes=1),
        ended_at=ended_at,
        size_bytes=1,
    )


@dataclass
class Capsule:
    covers_from: datetime
    covers_to: datetime


@dataclass
class Platform:
    """Takes a base backup and seals a capsule now and then, and keeps only what is needed."""

    bases: list[BaseBackup] = field(default_factory=list)
    capsules: list[Capsule] = field(default_factory=list)

    def run(self, at: datetime, *, base_fails: bool, full: bool) -> None:
        ends = [capsule.covers_to for capsule in self.capsules]
        if not base_fails:
            parent = None if full or not self.bases else self.bases[-1].name
            number = 1 + (int(self.bases[-1].name.split("-")[1]) if self.bases else 0)
            self.bases.append(base(number, at, parent))
        if not self.bases:
            return
        made_at = at + timedelta(minutes=1)
        first = base_for(window_start(made_at, ends), self.bases)
        self.capsules.append(Capsule(first.ended_at, made_at))
        self.bases = still_needed(made_at, [*ends, made_at], self.bases)


runs = st.lists(
    st.tuples(st.integers(1, 80), st.booleans(), st.booleans()), min_size=10, max_size=60
)


@settings(deadline=None)
@given(runs)
def test_every_moment_is_in_the_next_seven_capsules(days: list[tuple[int, bool, bool]]) -> None:
    """Hours between runs, whether the base backup fails, whether it is a full one."""
    platform, now = Platform(), START
    for hours, base_fails, full in days:
        now += timedelta(hours=hours)
        platform.run(now, base_fails=base_fails, full=full)
    capsules = platform.capsules
    for index in range(len(capsules) - COPIES):
        since = max(capsules[0].covers_from, capsules[index].covers_to)
        for later in capsules[index + 1 : index + 1 + COPIES]:
            assert later.covers_from <= since


@settings(deadline=None)
@given(runs)
def test_every_moment_of_the_last_seven_days_is_in_the_newest_capsule(
    days: list[tuple[int, bool, bool]],
) -> None:
    platform, now = Platform(), START
    for hours, base_fails, full in days:
        now += timedelta(hours=hours)
        platform.run(now, base_fails=base_fails, full=full)
    if not platform.capsules:
        return
    newest = platform.capsules[-1]
    began = platform.capsules[0].covers_from
    assert newest.covers_from <= max(began, newest.covers_to - COPIES * DAY)


@settings(deadline=None)
@given(runs)
def test_what_a_kept_base_backup_builds_on_is_kept(days: list[tuple[int, bool, bool]]) -> None:
    platform, now = Platform(), START
    for hours, base_fails, full in days:
        now += timedelta(hours=hours)
        platform.run(now, base_fails=base_fails, full=full)
    names = {one.name for one in platform.bases}
    assert all(one.parent is None or one.parent in names for one in platform.bases)


def test_what_nobody_needs_is_not_kept() -> None:
    platform = Platform()
    for day in range(40):
        platform.run(START + day * DAY, base_fails=False, full=day % 7 == 0)
    assert len(platform.bases) <= 2 * COPIES


def test_the_first_days_say_that_they_reach_less_far() -> None:
    first = base(1, START)
    assert base_for(START - DAY, [first, base(2, START + DAY)]) == first
    with pytest.raises(NotCovered, match="no base backup"):
        base_for(START, [])


def test_a_day_can_be_as_short_as_a_test_wants() -> None:
    second = timedelta(seconds=1)
    assert window_start(START, [START] * 7, copies=7, day=second) == START - 7 * second
