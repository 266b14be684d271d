"""The plan of a run: whom it will hit and when, before the first order is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chaos.scenarios import prediction, schedule
from chaos.scenarios.records import Identity
from chaos.scenarios.scenario import Scenario
from chaos.scenarios.schedule import ScheduledEvent
from chaos.scenarios.workload import PlannedOrder, from_zero, plan


@dataclass(frozen=True, slots=True)
class Plan:
    """The orders of a run, the attempts that faults will hit, and the events with their times.

    `blocks` says for each order's number whether it is sent in peace or under attack.
    """

    orders: tuple[PlannedOrder, ...]
    blocks: Mapping[int, str]
    promised: tuple[Identity, ...]
    schedule: tuple[ScheduledEvent, ...]

    @property
    def fault_list(self) -> str:
        """The plan of faults as text: the same arguments give the same bytes."""
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


def plan_of(scenario: Scenario, *, seed: int, orders: int, rate: float, tag: str = "") -> Plan:
    """Return what such a run will lead to: a pure function of its arguments."""
    placed = plan(seed, orders, rate, scenario.crowd, tag=tag)
    per_block = -(-orders // len(scenario.blocks))
    blocks = {order.number: scenario.blocks[order.number // per_block] for order in placed}
    attacked = [order for order in placed if blocks[order.number] == "attack"]
    ids = [order.order_id for order in attacked]
    promised = (
        *prediction.predicted(scenario.rules(seed), ids),
        *prediction.predicted(scenario.network_faults(seed), ids),
    )
    leaving = {each[1] for each in promised if each[0] == scenario.cancels_hit_by}
    placed = tuple(
        replace(order, cancels=True, clicks=1) if order.order_id in leaving else order
        for order in placed
    )
    duration_s = _span_s(attacked)
    return Plan(placed, blocks, promised, schedule.schedule_of(scenario.events, seed, duration_s))


def _span_s(orders: Sequence[PlannedOrder]) -> float:
    return orders[-1].at_s - orders[0].at_s if orders else 0.0
