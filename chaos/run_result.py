"""Progress of a run while it goes on, and its result: all that is known at the end."""

import time
from dataclasses import dataclass, field

from chaos.baseline.outcomes import Outcomes
from chaos.checker.agreement import Agreement
from chaos.checker.check_result import Check, all_hold
from chaos.checker.fault_coverage import FaultCount
from chaos.checker.latency import LatencyComparison
from chaos.checker.observations import Observations
from chaos.client.load import LoadCounts
from chaos.run_config import RunConfig
from chaos.scenarios.records import Disturbance


@dataclass
class RunProgress:
    """What can be watched while the run goes on."""

    stage: str = "starting"
    counts: LoadCounts = field(default_factory=LoadCounts)
    faults_fired: int = 0
    violations: int = 0
    began: float = field(default_factory=time.monotonic)

    def as_values(self) -> dict[str, str | int | float]:
        """Return it as plain values."""
        return {
            "seconds": round(time.monotonic() - self.began, 1),
            "stage": self.stage,
            "sent": self.counts.sent,
            "settled": self.counts.settled,
            "slow": self.counts.slow,
            "unknown": self.counts.unknown,
            "faults": self.faults_fired,
            "violations": self.violations,
        }


@dataclass
class RunResult:
    """All that the report says."""

    config: RunConfig
    checks: list[Check]
    faults: list[FaultCount]
    agreement: Agreement
    latency: LatencyComparison
    observations: Observations
    counts: LoadCounts
    disturbances: list[Disturbance]
    naive: Outcomes | None
    web_ui: str
    started_at: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every invariant holds and every planned fault fired."""
        return all_hold(self.checks)
