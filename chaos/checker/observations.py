"""Observations: plain records of what both databases and Temporal hold once all is at rest."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from uuid import UUID

from chaos.client.history import Entry
from chaos.client.scheduling_stalls import Stall
from chaos.scenarios.records import Fired
from chaos.scenarios.workload import PlannedOrder


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as its service keeps it; `lines` is pieces by SKU."""

    order_id: UUID
    customer: str
    key: str
    status: str
    reason: str | None
    lines: dict[str, int]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One entry of an order's timeline."""

    seq: int
    order_id: UUID
    type: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry of the warehouse's ledger; `number` grows with time within a SKU."""

    number: int
    order_id: UUID | None
    sku: str
    operation: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Shelf:
    """The level of one SKU as the warehouse keeps it."""

    sku: str
    on_hand: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One SKU at one instant: the kept level, and the one that the ledger says."""

    at: float
    sku: str
    on_hand: int
    reserved: int
    ledger_on_hand: int
    ledger_reserved: int

    @property
    def conserves(self) -> bool:
        """Whether level and ledger agree."""
        kept = (self.on_hand, self.reserved)
        return kept == (self.ledger_on_hand, self.ledger_reserved)


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """One execution of a workflow as Temporal lists it."""

    workflow_id: str
    run_id: str
    state: str
    order_status: str | None


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """An answer of an endpoint after the heal."""

    endpoint: str
    status: int | None

    @property
    def is_good(self) -> bool:
        """Whether the endpoint did what it is for."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Replay:
    """Whether today's workflow code agrees with a stored history; the history if it does not."""

    workflow_id: str
    failure: str | None
    history: str | None = None


@dataclass
class Observations:
    """Everything, read once the system is at rest. `api_statuses` is the API's word on each."""

    planned: tuple[PlannedOrder, ...]
    history: list[Entry]
    orders: list[OrderRow]
    events: list[OrderEvent]
    movements: list[Movement]
    reservations: dict[UUID, str]
    shelves: list[Shelf]
    snapshots: list[Snapshot] = field(default_factory=list)
    fired: list[Fired] = field(default_factory=list)
    workflows: list[WorkflowRow] = field(default_factory=list)
    results: dict[UUID, str] = field(default_factory=dict)
    api_statuses: dict[UUID, str] = field(default_factory=dict)
    replays: list[Replay] = field(default_factory=list)
    endpoint_answers: list[EndpointAnswer] = field(default_factory=list)
    notifications: dict[int, int] = field(default_factory=dict)
    rest_before: dict[UUID, str] = field(default_factory=dict)
    # Workflows that nobody can carry out, with what the engine says of the reason.
    parked: dict[str, str | None] = field(default_factory=dict)
    # Orders of which the engine has no memory any more, by the run's own doing.
    forgotten: frozenset[UUID] = frozenset()
    settled_within_s: float | None = None
    budget_s: float = 2.0
    stalls: list[Stall] = field(default_factory=list)
    # Attempts (order, operation, attempt) that the warehouse was too busy for, seen by the proxy.
    turned_away: frozenset[tuple[UUID, str, int]] = frozenset()
    # Orders of people who have nothing to do with the run.
    others: frozenset[UUID] = frozenset()
    # How often later workflow code was rolled out, and which releases say that they packed orders.
    releases: int = 0
    packed_by: frozenset[int] = frozenset()

    @classmethod
    def unread(cls, planned: tuple[PlannedOrder, ...], history: list[Entry]) -> "Observations":
        """Return what is known of a system that cannot be asked: nothing."""
        return cls(planned, history, [], [], [], {}, [])

    @cached_property
    def by_id(self) -> dict[UUID, OrderRow]:
        """Rows of orders by id."""
        return {row.order_id: row for row in self.orders}

    @cached_property
    def moved(self) -> "dict[UUID, list[Movement]]":
        """Movements of each order."""
        found: defaultdict[UUID, list[Movement]] = defaultdict(list)
        for movement in self.movements:
            if movement.order_id is not None and movement.order_id not in self.others:
                found[movement.order_id].append(movement)
        return dict(found)

    @cached_property
    def entries_by_order(self) -> "dict[str, list[Entry]]":
        """The client's history of each order, by order id as text."""
        found: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in self.history:
            found[entry.order_id].append(entry)
        return dict(found)

    def answers_to(self, order_id: UUID) -> list[Entry]:
        """Return what came of each sending of an order, in turn."""
        entries = self.entries_by_order.get(str(order_id), ())
        return [entry for entry in entries if entry.ends_placing]

    @cached_property
    def affected(self) -> "dict[UUID, list[Fired]]":
        """Faults that fired, by the order they hit."""
        found: defaultdict[UUID, list[Fired]] = defaultdict(list)
        for fired in self.fired:
            found[fired.order_id].append(fired)
        return dict(found)


def without_others(observations: Observations) -> Observations:
    """Return what concerns the run's own customers, out of a stack that others use as well.

    Shelves, snapshots and movements stay whole: stock is conserved for everybody or for nobody.
    """
    mine = {order.customer for order in observations.planned}
    others = frozenset(row.order_id for row in observations.orders if row.customer not in mine)
    events = [event for event in observations.events if event.order_id not in others]
    seqs = {event.seq for event in events}
    return replace(
        observations,
        orders=[row for row in observations.orders if row.order_id not in others],
        events=events,
        reservations={id_: s for id_, s in observations.reservations.items() if id_ not in others},
        fired=[fired for fired in observations.fired if fired.order_id not in others],
        notifications={seq: n for seq, n in observations.notifications.items() if seq in seqs},
        others=others,
    )
