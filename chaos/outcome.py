"""What can be watched while a run goes on, and all that is known of it at the end."""

import time
from dataclasses import dataclass, field

from chaos.facts import Facts
from chaos.load import Tally
from chaos.naive_ground import NaiveOutcome
from chaos.options import Options, Plan
from chaos.pace import Pace
from chaos.prediction import Agreement, Disturbance
from chaos.tallies import FaultCount
from chaos.verdict import Check, all_hold


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
