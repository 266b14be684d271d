"""After the attack: wait until all is settled, ask every endpoint, read all there is to know."""

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from activities.contracts import TERMINAL
from chaos.checker.collect import Engine, open_orders, read_facts, seen, unread_events
from chaos.checker.endpoints import probe
from chaos.checker.observations import Facts, without_others
from chaos.checker.orders import SETTLE_WITHIN_S
from chaos.checker.prediction import RECONNECTED_S, Disturbance
from chaos.client.history import History
from chaos.nemesis.workflow_release import packed_by, release
from chaos.scenarios.workload import PlannedOrder
from chaos.target.own_stack import Ground, OthersGround
from service_kit.pool import TROUBLE
from workflows.contracts import workflow_id

REPLAYED = 150
RESULTS_ASKED = 2_000
LOOK_S = 0.5
# A process that was killed has gone by then, and whoever kept it running has written that down.
NOTICED_S = 0.5
LONG_STALL_S = 0.2
_LIFE = re.compile(r"^(\S+Z) (exited|ready) (\S+) pid=")
_HELD_BACK = re.compile(r'"order_id":\s*"([0-9a-f-]{36})"')
_RULE = re.compile(r'"rule":\s*"([^"]+)"')


async def settle(ground: Ground, healed_at: float, customers: Collection[str]) -> float | None:
    """Return when no order was open any more (wall clock, s); None if some still are.

    Seen from outside: the system's own times are worth nothing where its clocks are turned.
    """
    looks = 0
    while not looks or time.monotonic() - healed_at < SETTLE_WITHIN_S + 30.0:
        looks += 1
        with contextlib.suppress(*TROUBLE):
            if await open_orders(ground.dsn("orders"), customers) == 0:
                return time.time()
        await asyncio.sleep(LOOK_S)
    return None


def settled_within_s(
    facts: Facts, disturbances: Sequence[Disturbance], settled_at: Sequence[float | None]
) -> float | None:
    """Return how long after a part's last fault or sending its last order ended, at the worst.

    `settled_at` says of each part of the run when nothing was open any more. None if an order has
    not ended, or had not when its part was over.
    """
    if not settled_at or any(row.status not in TERMINAL for row in facts.orders):
        return None
    sent = [entry.at for entry in facts.history if entry.operation == "place"]
    causes = [*sent, *(gone.end for gone in disturbances)]
    worst, begin = 0.0, 0.0
    for at in settled_at:
        if at is None:
            return None
        healed = max((cause for cause in causes if begin < cause <= at), default=at)
        worst, begin = max(worst, at - healed), at
    return worst


def disturbances_of(
    events: Sequence[Disturbance], facts: Facts, logs: Path, since: float
) -> list[Disturbance]:
    """Return the times at which some process was gone, also those killed by a fault point.

    `logs` is the folder of the stack's logs; what they say of the time before `since` is left out.
    """
    return [
        *events,
        *(
            Disturbance(fired.at, fired.at + NOTICED_S, f"{fired.rule} killed a process")
            for fired in facts.fired
            if fired.fault == "crash"
        ),
        *(gone for gone in absences(logs / "supervisor.log") if gone.end >= since),
    ]


def absences(log: Path) -> Iterator[Disturbance]:
    """Yield each process's times between an end and the next readiness, from the supervisor's log.

    How long a start takes is the machine's business: a slow one takes several times as long.
    """
    away: dict[str, float] = {}
    with log.open(errors="replace") as lines:
        for line in lines:
            if life := _LIFE.match(line):
                at, what, name = datetime.fromisoformat(life[1]).timestamp(), life[2], life[3]
                if what == "exited":
                    away.setdefault(name, at)
                elif name in away:
                    yield Disturbance(away.pop(name), at + RECONNECTED_S, f"{name} was away")


def stood_still(facts: Facts) -> list[Disturbance]:
    """Return the times at which the machine let nobody run for longer than a step may take."""
    return [
        Disturbance(begin, end, f"nothing ran for {lost:.1f} s")
        for source, begin, end, lost in facts.stalls
        if source != "line" and lost >= LONG_STALL_S
    ]


async def add_ons_done(ground: Ground, within_s: float = 45.0) -> None:
    """Wait until the add-ons have read every event; they owe it, but not at once."""
    for _ in range(int(within_s / LOOK_S)):
        if await unread_events(ground.dsn("orders")) == 0:
            return
        await asyncio.sleep(LOOK_S)


async def workflows_done(engine: Engine, mine: set[str], within_s: float = 45.0) -> None:
    """Wait until the engine knows that every order has ended; it may learn it after the row."""
    for _ in range(int(within_s / LOOK_S)):
        if not mine & await engine.running():
            return
        await asyncio.sleep(LOOK_S)


async def gather(
    ground: Ground,
    planned: tuple[PlannedOrder, ...],
    history: History,
    forgotten: frozenset[UUID],
) -> Facts:
    """Return everything that the checks need, read while nothing moves any more.

    `forgotten` are the orders whose workflows the run itself has deleted.
    """
    await add_ons_done(ground)
    facts = await read_facts(
        ground.dsn("orders"), ground.dsn("inventory"), planned, history.entries
    )
    facts.fired += ground.evidence.fired
    facts.turned_away = frozenset(ground.evidence.turned_away)
    if isinstance(ground, OthersGround):
        facts = without_others(facts)
    facts.forgotten = forgotten
    engine = await Engine.connect(ground.temporal_address)
    mine = {workflow_id(row.order_id) for row in facts.orders}
    await workflows_done(engine, mine)
    facts.parked = await engine.parked(ground.poisoned)
    facts.workflows = await engine.listed()
    if isinstance(ground, OthersGround):
        mine |= facts.parked.keys()
        facts.workflows = [flow for flow in facts.workflows if flow.workflow_id in mine]
    ids = [row.order_id for row in facts.orders if row.order_id not in forgotten]
    asked = _sample(ids, facts, RESULTS_ASKED)
    facts.results = await engine.results(asked)
    facts.seen = await seen(ground.order_url, ground.token("oracle", "staff"), asked)
    facts.releases = ground.releases
    if facts.releases:
        facts.packed_by = await packed_by(engine.client)
    went_over = {each for each in ids if workflow_id(each) in ground.went_over}
    facts.replays = await engine.replays(
        went_over.union(_sample(ids, facts, REPLAYED)), release(facts.releases)
    )
    facts.probes = await probe(ground)
    return facts


def _sample(ids: Sequence[UUID], facts: Facts, limit: int) -> list[UUID]:
    """Return the orders that faults have hit first, and some others, at most `limit`."""
    hit = [order_id for order_id in ids if order_id in facts.affected]
    rest = [order_id for order_id in ids if order_id not in facts.affected]
    dice = random.Random(len(ids))
    chosen = dice.sample(hit, min(len(hit), limit * 3 // 4))
    return chosen + dice.sample(rest, min(len(rest), limit - len(chosen)))


def held_back(logs: Path) -> frozenset[tuple[str, UUID]]:
    """Return the (rule, order) for which an injector logged that it could not write evidence."""
    found = set()
    for log in logs.glob("*.log"):
        with log.open(errors="replace") as lines:
            for line in lines:
                if "no evidence, no fault" in line:
                    order, rule = _HELD_BACK.search(line), _RULE.search(line)
                    if order and rule:
                        found.add((rule.group(1), UUID(order.group(1))))
    return frozenset(found)
