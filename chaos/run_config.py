"""Configuration of a run: which scenario, how much of it, and what it attacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chaos.baseline.service import Policy
from chaos.scenarios.plan import Plan, plan_of
from chaos.scenarios.records import Identity
from chaos.scenarios.scenario import Scenario
from chaos.target.own_stack import OwnTarget
from chaos.target.running_stack import RunningTarget
from chaos.target.skipped_faults import skipped_faults


@dataclass(frozen=True)
class RunConfig:
    """What to run. `out` is the folder of the run's files; `naive` None leaves the baseline out.

    `against` is the address of the order service of a running stack; None starts one. `tag` sets
    the run's orders apart from those that are there already.
    """

    scenario: Scenario
    seed: int
    orders: int
    rate: float
    out: Path
    naive: Policy | None = "retry-once"
    against: str | None = None
    tag: str = ""

    @cached_property
    def plan(self) -> Plan:
        """Whom the run will hit and when."""
        return plan_of(
            self.scenario, seed=self.seed, orders=self.orders, rate=self.rate, tag=self.tag
        )

    @cached_property
    def skipped_faults(self) -> Mapping[str, str]:
        """The faults of the scenario that are not possible here, with the reason."""
        target = OwnTarget if self.against is None else RunningTarget
        return skipped_faults(self.scenario, target.events, target.proxied)

    @cached_property
    def promised(self) -> list[Identity]:
        """Whom the faults that are possible here will hit."""
        return [each for each in self.plan.promised if each[0] not in self.skipped_faults]

    @property
    def command(self) -> str:
        """The line that does this run again."""
        return (
            f"valerix chaos run {self.scenario.name} --seed {self.seed} "
            f"--orders {self.orders} --rate {self.rate:g}"
            + (f" --against {self.against} --tag {self.tag}" if self.against else "")
        )
