"""A run has to see the warehouse's books while it goes on, or its word on them is worth nothing."""

import pytest

from chaos.checker.observations import Snapshot
from chaos.checker.snapshots import Watch


@pytest.mark.parametrize(
    ("looks", "seen", "enough"), [(100, 30, True), (100, 29, False), (3, 1, True), (3, 0, False)]
)
def test_of_the_looks_that_there_was_time_for_a_part_has_to_succeed(
    looks: int, seen: int, *, enough: bool
) -> None:
    watch = Watch(str)
    watch.looks = looks
    watch.snapshots = [Snapshot(float(at), "MUG", 1, 0, 1, 0) for at in range(seen)]
    assert (watch.failure() is None) == enough
