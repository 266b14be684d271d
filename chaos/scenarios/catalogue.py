"""Catalogue of the scenarios by name, with the one that `make verify` runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from chaos.injection.rules import GREMLIN, Fault, FaultRule, Operation, Point
from chaos.scenarios.backup import BACKUP, OF_BACKUPS
from chaos.scenarios.network_faults import Link, NetworkFault, NetworkFaultKind
from chaos.scenarios.scenario import Attack, Event, Floors, Scenario
from chaos.scenarios.workload import Crowd

EFFECTS: tuple[Operation, ...] = ("reserve", "commit")
RESERVE: tuple[Operation, ...] = ("reserve",)
RECORD: tuple[Operation, ...] = ("record",)
ACCEPT: tuple[Operation, ...] = ("accept",)


def _rule(
    name: str,
    row: str,
    point: Point,
    fault: Fault,
    share: float,
    operations: tuple[Operation, ...] = EFFECTS,
    delay_s: float = 0.0,
) -> Attack:
    rule = FaultRule(
        name=name, point=point, fault=fault, share=share, operations=operations, delay_s=delay_s
    )
    return Attack(rule, row)


def _network_fault(
    name: str,
    row: str,
    kind: NetworkFaultKind,
    share: float,
    seconds: float = 0.0,
    link: Link = "wire.inventory",
) -> Attack:
    operations: tuple[Operation, ...] = EFFECTS if link == "wire.inventory" else ACCEPT
    network_fault = NetworkFault(
        name=name, point=link, fault=kind, share=share, seconds=seconds, operations=operations
    )
    return Attack(network_fault, row)


def _warehouse(lost: float, killed: float, killed_before: float) -> tuple[Attack, ...]:
    """Return Schrödinger's warehouse, killed after or before its commit; shares per step."""
    before: Point = "inventory.before_commit"
    after: Point = "inventory.after_commit"
    answer: Point = "inventory.before_response"
    return (
        _rule("error-after-commit", "error-after-commit", after, "error", lost),
        _rule("answer-lost", "cut", answer, "drop", lost),
        _rule("answer-corrupted", "corrupted", answer, "corrupt", lost),
        _rule("killed-after-commit", "killed-after-commit", after, "crash", killed),
        _rule("killed-before-commit", "killed-before-commit", before, "crash", killed_before),
    )


def _zombie(share: float) -> Attack:
    return _rule("zombie", "zombie", "inventory.on_request", "delay", share, RESERVE, 3.0)


def _network(share: float) -> tuple[Attack, ...]:
    return (
        _network_fault("wire-latency", "late", "latency", share, 1.5),
        _network_fault("wire-reset", "cut", "reset", share),
        _network_fault("wire-cut", "cut", "cut", share),
        _network_fault("wire-trickle", "trickle", "trickle", share, 0.4),
        _network_fault("wire-black-hole", "black-hole", "black_hole", share),
        _network_fault("wire-duplicate", "duplicate", "duplicate", share),
        _network_fault("wire-hold", "zombie", "hold", share, 2.5),
        _network_fault("shopper-reset", "same-key", "reset", share * 1.5, link="wire.order"),
        _network_fault(
            "shopper-duplicate", "same-key", "duplicate", share * 1.5, link="wire.order"
        ),
    )


def _own_deaths(worker: float, stored: float, started: float) -> tuple[Attack, ...]:
    """Return the deaths of worker and order_api at the worst moments, as shares of orders.

    order_api dies when an order is `stored`, and when its workflow is `started`.
    """
    asking: Point = "worker.before_request"
    answered: Point = "worker.after_answer"
    committed: Point = "order.after_commit"
    begun: Point = "order.after_start"
    killed = "order-killed-after-start"
    return (
        _rule("worker-dies-asking", "worker-killed", asking, "crash", worker),
        _rule("worker-dies-answered", "worker-killed", answered, "crash", worker),
        _rule("orders-die-stored", "order-killed-before-start", committed, "crash", stored, ACCEPT),
        _rule("orders-die-started", killed, begun, "crash", started, ACCEPT),
    )


_SERVICES_KILLED = (
    Event("inventory-killed", "outage", "kill", "inventory_api"),
    Event("worker-killed", "worker-killed", "kill", "worker"),
    Event("orders-killed", "order-killed-after-start", "kill", "order_api"),
)
_STORES_KILLED = (
    Event("temporal-killed", "engine-killed", "kill", "temporal"),
    Event("postgres-restarted", "database-restarted", "kill", "postgres"),
)
_FREEZES = (
    Event("worker-frozen", "worker-frozen", "freeze", "worker", 3.0),
    Event("inventory-frozen", "black-hole", "freeze", "inventory_api", 1.5),
    # To the others a frozen server is one behind a proxy that is cut: connections stay, bytes wait.
    Event("temporal-frozen", "partition", "freeze", "temporal", 1.5),
    Event("postgres-frozen", "partition", "freeze", "postgres", 1.5),
)
_CUT_WAREHOUSE = Event("inventory-cut-off", "partition", "cut", "inventory", 1.5)
_CUTS = (
    _CUT_WAREHOUSE,
    Event("shoppers-cut-off", "partition", "cut", "shoppers", 1.5),
    Event("temporal-cut-off", "partition", "cut", "temporal", 3.0),
    Event("postgres-cut-off", "partition", "cut", "postgres", 1.5),
)
_PARTED = tuple(
    Event(f"inventory-parted-{way}", "partition", "partition", f"{way} inventory", 1.5)
    for way in ("to", "from", "both")
)
_CLOCKS = (
    Event("inventory-clock", "clock", "turn", "inventory_api"),
    Event("worker-clock", "clock", "turn", "worker"),
    Event("orders-clock", "clock", "turn", "order_api"),
)
_FULL_DISK = Event("database-disk-full", "disk-full", "fill", "postgres", 1.0)
_FULL_LOGS = Event("logs-full", "disk-full", "fill", "order_api", 3.0)
_POISON = Event("poison", "poison", "poison", "temporal")
_LOCK = Event("stock-locked", "locked", "lock", "inventory.stock", 1.0)
_ROLL = Event("all-rolled", "outage", "roll", "everything", times=1)
_RELEASE = Event("workflow-released", "new-code", "release", "worker")
_ONE_OF_EACH = (
    *_STORES_KILLED,
    *_FREEZES,
    _CUT_WAREHOUSE,
    _LOCK,
    _CLOCKS[0],
    _FULL_DISK,
    _POISON,
)

CALM = Scenario("calm", "No fault at all: what the others are compared with.", orders=200)

GREMLIN_RUN = Scenario(
    "gremlin",
    "A predictable fifth of the orders gets the warehouse's first answer five seconds late.",
    attacks=(
        Attack(GREMLIN.model_copy(update={"share": 0.15}), "late"),
        _rule("gremlin-early", "late", "inventory.on_request", "delay", 0.05, RESERVE, 5.0),
    ),
    blocks=("calm", "attack", "attack", "calm"),
    keeps_pace=True,
    # A 95th percentile of few orders is a matter of luck.
    orders=1_000,
)

SCHRODINGER = Scenario(
    "schrodinger",
    "The warehouse commits and then dies, errs, garbles its answer or loses it.",
    attacks=(*_warehouse(lost=0.055, killed=0.014, killed_before=0.007), _zombie(0.02)),
    crowd=Crowd(double_clicks=0.02),
    cancels_hit_by="zombie",
)

BLACKOUT = Scenario(
    "blackout",
    "Inventory, Temporal, the worker and the database are each gone for a while.",
    events=(
        Event("inventory-gone", "outage", "outage", "inventory_api", 6.0),
        Event("temporal-gone", "outage", "outage", "temporal", 6.0),
        Event("worker-gone", "outage", "outage", "worker", 6.0),
        Event("postgres-gone", "outage", "outage", "postgres", 4.0),
        Event("orders-gone", "outage", "outage", "order_api", 4.0),
    ),
    orders=700,
)

FLASH_SALE = Scenario(
    "flash-sale",
    "Ten times the usual rate, 200 buyers for 50 pieces, and a warehouse that loses answers.",
    attacks=(
        *_warehouse(lost=0.03, killed=0.006, killed_before=0.003),
        _network_fault("wire-duplicate", "hot-sku", "duplicate", 0.05),
    ),
    crowd=Crowd(rush=200, double_clicks=0.1),
)

NETWORK = Scenario(
    "network",
    "Between every pair: late, reset, swallowed, trickled, cut, doubled, held back, cut off.",
    attacks=_network(0.03),
    events=(*_CUTS, *_PARTED),
    crowd=Crowd(double_clicks=0.02),
)

PROCESSES = Scenario(
    "processes",
    "Processes killed, frozen and restarted; clocks turned, disks full; at the end all are killed.",
    attacks=(
        *_own_deaths(worker=0.002, stored=0.004, started=0.006),
        _rule(
            "worker-dies-recorded", "worker-killed", "worker.after_record", "crash", 0.005, RECORD
        ),
    ),
    events=(
        *_SERVICES_KILLED,
        *_STORES_KILLED,
        *_FREEZES,
        *_CLOCKS,
        _FULL_DISK,
        _FULL_LOGS,
        _POISON,
        _RELEASE,
        _ROLL,
    ),
    forgets=5,
    ends_with_blackout=True,
    orders=1_300,
)

EVERYTHING = Scenario(
    "everything",
    "All kinds of fault in one run, as far as minutes reach.",
    attacks=(
        Attack(GREMLIN.model_copy(update={"share": 0.03}), "late"),
        *_warehouse(lost=0.022, killed=0.004, killed_before=0.003),
        _zombie(0.045),
        *_network(0.02),
        # Not more deaths than a slow machine gets over, not fewer than some of which always come.
        *_own_deaths(worker=0.0025, stored=0.0032, started=0.0032),
    ),
    # The services die by the fault points above, at worse moments than any clock would find.
    events=(*_ONE_OF_EACH, *OF_BACKUPS),
    crowd=Crowd(scarce=0.06, double_clicks=0.03),
    cancels_hit_by="zombie",
    forgets=5,
    ends_with_blackout=True,
    orders=1_400,
)

BRIEF = Scenario(
    "brief",
    "A bit of everything, in a minute and a half.",
    # Few orders, so greater shares: no fault shall depend on the luck of one or two of them.
    attacks=(
        Attack(GREMLIN.model_copy(update={"share": 0.04}), "late"),
        *_warehouse(lost=0.03, killed=0.01, killed_before=0.005),
        _zombie(0.04),
        *_network(0.03),
    ),
    events=(*_SERVICES_KILLED, *_ONE_OF_EACH, _RELEASE),
    crowd=Crowd(scarce=0.2, double_clicks=0.03),
    cancels_hit_by="zombie",
    forgets=3,
    ends_with_blackout=True,
    orders=900,
)

SCENARIOS: Mapping[str, Scenario] = {
    each.name: each
    for each in (
        CALM, GREMLIN_RUN, SCHRODINGER, BLACKOUT, FLASH_SALE, NETWORK, PROCESSES, EVERYTHING,
        BRIEF, BACKUP,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verification:
    """What `make verify` runs: the one place that decides."""

    scenario: Scenario
    orders: int
    rate: float
    seed: int


# The seed is one that plans enough of each kind without killing more often than it has to.
VERIFY = Verification(
    # Without backups, whose dates take minutes of their own: the scenario of that name judges them.
    replace(EVERYTHING, events=_ONE_OF_EACH, floors=Floors(request=20, process=3)),
    orders=1_500,
    rate=12.0,
    seed=44,
)

# What the tests run.
SHORT = Verification(BRIEF, orders=480, rate=8.0, seed=126)
