"""Latency (I9): how fast unaffected orders were, against the calm part of the same run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from chaos.checker.check_result import Check, check
from chaos.checker.observations import Observations
from chaos.scenarios.records import Disturbance
from service_kit.observability.percentile import percentile

ALLOWED = 1.2
WARM_UP = 20  # orders at the start of the run that meet cold caches and first connections
ENOUGH = 50


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds from the intended sending to the answer: how many, median, 95th, 99th, longest."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class LatencyComparison:
    """Latencies of calm orders, and of unaffected and affected ones under attack."""

    calm: Latencies | None
    unaffected: Latencies | None
    affected: Latencies | None
    enforced: bool

    @property
    def ratio(self) -> float | None:
        """The unaffected orders' p95 in terms of the calm one."""
        if self.calm is None or self.unaffected is None:
            return None
        return self.unaffected.p95 / self.calm.p95

    def checks(self) -> list[Check]:
        """Return the check, if this scenario promises it."""
        if not self.enforced:
            return []
        ratio = self.ratio
        wrong = []
        if ratio is None:
            wrong.append(f"fewer than {ENOUGH} orders to compare")
        elif ratio > ALLOWED:
            wrong.append(f"unaffected orders' p95 is {ratio:.2f} times that of the calm run")
        count = 0 if self.unaffected is None else self.unaffected.count
        return [check("I9", "Unaffected orders are as fast as without faults", count, wrong)]


def compare_latencies(
    observations: Observations,
    blocks: Mapping[int, str],
    disturbances: Sequence[Disturbance],
    *,
    enforced: bool,
) -> LatencyComparison:
    """Return how fast the first answers of calm, unaffected and affected orders were.

    Affected is whom a fault hit, and whoever was under way while a process was gone.
    """
    groups: dict[str, list[float]] = {"calm": [], "unaffected": [], "affected": []}
    for order in observations.planned:
        first = _first_answer(observations, order.order_id)
        if order.number < WARM_UP or first is None:
            continue
        seconds, at = first
        if blocks[order.number] == "calm":
            groups["calm"].append(seconds)
        elif order.order_id in observations.affected or any(
            gone.touches(at - seconds, at) for gone in disturbances
        ):
            groups["affected"].append(seconds)
        else:
            groups["unaffected"].append(seconds)
    return LatencyComparison(
        _latencies(groups["calm"]),
        _latencies(groups["unaffected"]),
        _latencies(groups["affected"]),
        enforced,
    )


def _first_answer(observations: Observations, order_id: UUID) -> tuple[float, float] | None:
    """Return the seconds from the intended sending to the first good answer, and when it came.

    Good is one about the order: a quick refusal is not a fast answer. Who never got one is as slow
    as the last try, or a system that fails at once would look fast; None: it was never sent.
    """
    last = None
    for entry in observations.entries_by_order.get(str(order_id), ()):
        if entry.operation != "place" or entry.since_intended is None:
            continue
        last = entry.since_intended, entry.at
        if entry.kind == "ok" or entry.status == 409:
            break
    return last


def _latencies(seconds: Sequence[float]) -> Latencies | None:
    if len(seconds) < ENOUGH:
        return None
    p50, p95, p99 = (percentile(seconds, share) for share in (0.5, 0.95, 0.99))
    return Latencies(len(seconds), p50, p95, p99, max(seconds))
