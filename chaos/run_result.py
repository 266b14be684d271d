"""What can be watched while a run goes on, and all that is known of it at the end."""

import time
from dataclasses import dataclass, field

from chaos.baseline.stack import NaiveOutcome
from chaos.checker.check_result import Check, all_hold
from chaos.checker.fault_coverage import FaultCount
from chaos.checker.latency import Pace
from chaos.checker.observations import Facts
from chaos.checker.prediction import Agreement, Disturbance
from chaos.client.load import Tally
from chaos.run_config import Options, Plan


@dataclass
class Progress:
    """What can be watched while the run goes on."""

    stage: str = "starting"
    tally: Tally = field(default_factory=Tally)
    faults_fired: int = 0
    violations: int = 0
    began: float = field(default_factory=time.monotonic)


@dataclass
class Outcome:
    """All that the report says."""

    options: Options
    plan: Plan
    checks: list[Check]
    faults: list[FaultCount]
    agreement: Agreement
    pace: Pace
    facts: Facts
    tally: Tally
    disturbances: list[Disturbance]
    naive: NaiveOutcome | None
    web_ui: str
    started_at: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every invariant holds and every planned fault fired."""
        return all_hold(self.checks)
