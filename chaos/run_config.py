"""What a run is asked to do, and all that follows from it before anything has started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from chaos.baseline.service import Policy
from chaos.checker import prediction
from chaos.checker.prediction import Identity
from chaos.scenarios import schedule
from chaos.scenarios.scenario import Scenario
from chaos.scenarios.schedule import ScheduledEvent
from chaos.scenarios.workload import PlannedOrder, from_zero, plan
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
    def skipped_faults(self) -> Mapping[str, str]:
        """The faults of the scenario that are not possible here, with the reason."""
        return skipped_faults(self.scenario, against=self.against is not None)

    @property
    def command(self) -> str:
        """The line that does this run again."""
        return (
            f"valerix chaos run {self.scenario.name} --seed {self.seed} "
            f"--orders {self.orders} --rate {self.rate:g}"
            + (f" --against {self.against} --tag {self.tag}" if self.against else "")
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A pure function of the options: whom it will hit and when, before the first order is sent.

    `blocks` says for each order's number whether it is sent in peace or under attack.
    """

    orders: tuple[PlannedOrder, ...]
    blocks: Mapping[int, str]
    promised: tuple[Identity, ...]
    schedule: tuple[ScheduledEvent, ...]

    @property
    def fault_list(self) -> str:
        """The plan of faults as text: the same options give the same bytes."""
        return prediction.as_text(self.promised) + schedule.as_text(self.schedule)

    def parts(self) -> list[tuple[str, tuple[PlannedOrder, ...]]]:
        """Return neighbouring orders of the same kind of block together, each part from zero."""
        found: list[tuple[str, list[PlannedOrder]]] = []
        for order in self.orders:
            kind = self.blocks[order.number]
            if not found or found[-1][0] != kind:
                found.append((kind, []))
            found[-1][1].append(order)
        return [(kind, from_zero(tuple(part))) for kind, part in found]


def plan_of(config: RunConfig) -> Plan:
    """Return what the options will lead to."""
    scenario, seed = config.scenario, config.seed
    orders = plan(seed, config.orders, config.rate, scenario.crowd, tag=config.tag)
    per_block = -(-config.orders // len(scenario.blocks))
    blocks = {order.number: scenario.blocks[order.number // per_block] for order in orders}
    attacked = [order for order in orders if blocks[order.number] == "attack"]
    ids = [order.order_id for order in attacked]
    promised = (
        *prediction.predicted(scenario.rules(seed), ids),
        *prediction.predicted(scenario.network_faults(seed), ids),
    )
    leaving = {each[1] for each in promised if each[0] == scenario.cancels_hit_by}
    orders = tuple(
        replace(order, cancels=True, clicks=1) if order.order_id in leaving else order
        for order in orders
    )
    duration_s = _span_s(attacked)
    return Plan(orders, blocks, promised, schedule.schedule_of(scenario.events, seed, duration_s))


def _span_s(orders: Sequence[PlannedOrder]) -> float:
    return orders[-1].at_s - orders[0].at_s if orders else 0.0
