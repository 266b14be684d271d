"""Scenarios: which faults, how many, when, and for how long, declared and not coded.

A request-level fault is a rule whose victims are a pure function of the seed and the order. A
process-level fault is an event at a planned moment. Each has to fire, or the run has failed.
"""

from dataclasses import dataclass, field
from typing import Literal

from chaos.injection.rules import FaultRule
from chaos.scenarios.network_faults import NetworkFault
from chaos.scenarios.workload import Crowd

EventKind = Literal[
    "kill", "freeze", "outage", "roll", "turn", "lock", "fill", "cut", "partition", "poison",
    "release", "backup",
]  # fmt: skip
Block = Literal["calm", "attack"]


@dataclass(frozen=True, slots=True)
class Attack:
    """A request-level fault and the row of the fault matrix that it reaches."""

    rule: FaultRule | NetworkFault
    row: str

    @property
    def kills(self) -> bool:
        """Whether a whole process dies of it each time."""
        return self.rule.fault == "crash"

    @property
    def in_words(self) -> str:
        """What happens, where."""
        rule = self.rule
        seconds = rule.delay_s if isinstance(rule, FaultRule) else rule.seconds
        what = f"{rule.fault} {seconds:g} s" if seconds else rule.fault
        return f"{what} at {rule.point} ({', '.join(rule.operations) or 'any call'})"


@dataclass(frozen=True, slots=True)
class Event:
    """A process-level fault: does `kind` to `target`, `times` times, for `seconds` each.

    What is done: kill, freeze (SIGSTOP), outage (stopped, started later), roll (restarted one after
    the other), turn (the clock), lock (all rows of a table), fill (the disk), cut (a proxy through
    which nothing passes), partition (the kernel loses packets, one way or both), poison (an order
    that the workflow code cannot read), release (newer code for whom the warehouse keeps waiting),
    backup (that of a further date, which meets what `target` says; see nemesis/backup_faults.py).
    """

    name: str
    row: str
    kind: EventKind
    target: str
    seconds: float = 0.0
    times: int = 3

    @property
    def in_words(self) -> str:
        """What happens, to whom."""
        span = f" for {self.seconds:g} s" if self.seconds else ""
        return f"{self.kind} {self.target}{span}"


@dataclass(frozen=True, slots=True)
class Floors:
    """How often each planned fault has to fire at the least."""

    request: int = 1
    process: int = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named way of attacking the system.

    Orders are divided evenly among `blocks`; faults are in force in those called attack.
    `keeps_pace` demands that unaffected orders stay as fast as in the calm blocks. Shoppers
    cancel the orders that the rule named `cancels_hit_by` hits. At the end, Temporal's memory of
    `forgets` orders is deleted and their shoppers send them once more; `ends_with_blackout` kills
    every process and judges what has survived that. `orders` are enough to see all of it.
    """

    name: str
    about: str
    attacks: tuple[Attack, ...] = ()
    events: tuple[Event, ...] = ()
    crowd: Crowd = field(default_factory=Crowd)
    blocks: tuple[Block, ...] = ("attack",)
    replicas: int = 2
    keeps_pace: bool = False
    cancels_hit_by: str | None = None
    ends_with_blackout: bool = False
    forgets: int = 0
    orders: int = 500
    floors: Floors = Floors()

    @property
    def needs_backups(self) -> bool:
        """Whether the system has to make backups."""
        return any(event.kind == "backup" for event in self.events)

    @property
    def needs_tcp_proxies(self) -> bool:
        """Whether Temporal or Postgres has to be reached through a proxy that can be cut."""
        return any(e.kind == "cut" and e.target in ("temporal", "postgres") for e in self.events)

    def rules(self, seed: int) -> tuple[FaultRule, ...]:
        """Return the fault rules of a run with this seed."""
        return tuple(
            a.rule.model_copy(update={"seed": seed})
            for a in self.attacks
            if isinstance(a.rule, FaultRule)
        )

    def network_faults(self, seed: int) -> tuple[NetworkFault, ...]:
        """Return the network faults of a run with this seed."""
        return tuple(
            a.rule.model_copy(update={"seed": seed})
            for a in self.attacks
            if isinstance(a.rule, NetworkFault)
        )

    @property
    def needs_namespace(self) -> bool:
        """Whether the warehouse has to be reached through another network namespace."""
        return any(event.kind == "partition" for event in self.events)

    @property
    def rows(self) -> set[str]:
        """The rows of the fault matrix that this scenario reaches."""
        own = {attack.row for attack in self.attacks} | {event.row for event in self.events}
        if self.crowd.double_clicks:
            own.add("same-key")
        if self.crowd.rush:
            own.add("hot-sku")
        if self.forgets:
            own.add("retention")
        return own

    @property
    def points(self) -> dict[str, str]:
        """Where each request-level fault strikes, by its name."""
        return {attack.rule.name: attack.rule.point for attack in self.attacks}
