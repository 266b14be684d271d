"""Invariant of workflow code (I13): it agrees with every history that was stored."""

from chaos.checker.check_result import Check, check
from chaos.checker.observations import Observations


def histories_replay(observations: Observations) -> Check:
    """I13: the workflow code of the end agrees with every history tried, and each release ran."""
    idle = set(range(1, observations.releases + 1)) - observations.packed_by
    wrong = [f"{r.workflow_id}: {r.failure}" for r in observations.replays if r.failure is not None]
    wrong += [f"release {number} has packed no order" for number in sorted(idle)]
    return check("I13", "Stored histories replay", len(observations.replays), wrong)
