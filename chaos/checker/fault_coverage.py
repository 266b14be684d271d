"""Fault coverage (I17): how often each planned fault fired, against how often it had to."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from activities.contracts import TERMINAL
from chaos.checker.check_result import Check, check
from chaos.checker.observations import Observations
from chaos.scenarios.records import Identity
from chaos.scenarios.scenario import Scenario
from chaos.scenarios.schedule import ScheduledEvent


@dataclass(frozen=True, slots=True)
class FaultCount:
    """One planned fault of a run: what it was, and how often it happened.

    `contested` are the planned victims that need not get there: on their attempt another fault is
    planned as well, or their shopper cancels. `skipped` says why the fault is not possible where
    the run was made; empty if it is.
    """

    name: str
    row: str
    level: str
    planned: int
    fired: int
    floor: int
    what: str
    skipped: str = ""
    contested: int = 0

    @property
    def required(self) -> int:
        """How often it has to fire: at all if it had a victim of its own, or as the floor says.

        A short run may have no victim for a rare fault, and says so; one with floors may not.
        """
        if self.skipped:
            return 0
        return self.floor if self.planned > self.contested or self.floor > 1 else 0

    @property
    def enough(self) -> bool:
        """Whether it fired as often as it has to."""
        return self.fired >= self.required


def count_faults(
    scenario: Scenario,
    observations: Observations,
    events: Counter[str],
    schedule: Iterable[ScheduledEvent],
    promised: Sequence[Identity],
    skipped: Mapping[str, str] = MappingProxyType({}),
) -> list[FaultCount]:
    """Return one line for each fault that the scenario plans; `skipped` says why not, by name."""
    fired = Counter(each.rule for each in observations.fired)
    planned = Counter(identity[0] for identity in promised)
    contested = _contested(scenario, observations, promised)
    turns = Counter(scheduled.event.name for scheduled in schedule)
    floors = scenario.floors
    return [
        *(
            FaultCount(
                name=(name := attack.rule.name),
                row=attack.row,
                level="process" if attack.kills else "request",
                planned=planned[name],
                fired=fired[name],
                floor=floors.process if attack.kills else floors.request,
                what=attack.in_words,
                skipped=skipped.get(name, ""),
                contested=contested[name],
            )
            for attack in scenario.attacks
        ),
        *(
            FaultCount(
                name=event.name,
                row=event.row,
                level="process",
                planned=turns[event.name],
                fired=events[event.name],
                floor=floors.process,
                what=event.in_words,
                skipped=skipped.get(event.name, ""),
            )
            for event in scenario.events
        ),
        *_by_shoppers(scenario, observations),
    ]


def _contested(
    scenario: Scenario, observations: Observations, promised: Sequence[Identity]
) -> Counter[str]:
    on_attempt = Counter(identity[1:] for identity in promised)
    given_up = {order.order_id for order in observations.planned if order.cancels}
    return Counter(
        identity[0]
        for identity in promised
        if on_attempt[identity[1:]] > 1
        or (identity[1] in given_up and identity[0] != scenario.cancels_hit_by)
    )


def _by_shoppers(scenario: Scenario, observations: Observations) -> Iterator[FaultCount]:
    """Yield the faults that are made by sending orders again."""
    if scenario.crowd.double_clicks:
        history = observations.history
        again = {e.order_id for e in history if e.operation == "place" and e.try_ == 2}
        clicks = [order for order in observations.planned if order.clicks > 1]
        yield FaultCount(
            name="double-click",
            row="same-key",
            level="request",
            planned=len(clicks),
            fired=sum(str(order.order_id) in again for order in clicks),
            floor=scenario.floors.request,
            what="the shopper sends the order twice at the same moment",
        )
    if scenario.forgets:
        yield FaultCount(
            name="history-gone",
            row="retention",
            level="process",
            planned=scenario.forgets,
            fired=len(observations.forgotten),
            floor=min(scenario.floors.process, scenario.forgets),
            what="Temporal's memory of an order is deleted, and its key sent again",
        )


def planned_faults_fired(faults: Sequence[FaultCount], observations: Observations) -> Check:
    """I17: every planned fault fired, and every order that was hit has a verdict."""
    wrong = [
        f"{fault.name} fired {fault.fired} times, has to {fault.required}"
        for fault in faults
        if not fault.enough
    ]
    for order_id, fired in observations.affected.items():
        row = observations.by_id.get(order_id)
        entries = observations.entries_by_order.get(str(order_id), [])
        # An order killed before it was stored has a verdict too, if the client was told nothing.
        if row is None and any(entry.kind == "ok" for entry in entries):
            wrong.append(f"order {order_id}, hit by {fired[0].rule}, has no verdict")
        if row is not None and row.status not in TERMINAL:
            wrong.append(f"order {order_id}, hit by {fired[0].rule}, has no verdict")
    return check(
        "I17", "Every planned fault fired, every order it hit has a verdict",
        len(faults) + len(observations.affected), wrong,
    )  # fmt: skip
