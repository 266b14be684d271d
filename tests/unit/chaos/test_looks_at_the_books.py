"""A run has to see the warehouse's books while it goes on, or its word on them is worth nothing."""

from pathlib import Path

import pytest

from chaos.checker.observations import Snapshot
from chaos.run import Run
from chaos.run_config import RunConfig
from chaos.scenarios.catalogue import SCENARIOS


@pytest.mark.parametrize(
    ("looks", "seen", "enough"), [(100, 30, True), (100, 29, False), (3, 1, True), (3, 0, False)]
)
def test_of_the_looks_that_there_was_time_for_a_part_has_to_succeed(
    looks: int, seen: int, *, enough: bool
) -> None:
    run = Run(RunConfig(SCENARIOS["calm"], 1, 5, 10.0, Path("unused")), lambda _: None)
    run._looks = looks
    run._snapshots = [Snapshot(float(at), "MUG", 1, 0, 1, 0) for at in range(seen)]
    run._check_looks()
    assert run._all_came_back().holds == enough
