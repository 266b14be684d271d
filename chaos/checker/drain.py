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
from chaos.checker.collect import (
    TemporalReader,
    api_statuses,
    open_orders,
    read_databases,
    unread_events,
)
from chaos.checker.endpoints import check_endpoints
from chaos.checker.observations import Observations, without_others
from chaos.checker.orders import SETTLE_WITHIN_S
from chaos.checker.prediction import RECONNECTED_S, Disturbance
from chaos.client.history import History
from chaos.nemesis.workflow_release import packed_by, release
from chaos.scenarios.workload import PlannedOrder
from chaos.target.own_stack import OthersStack, OwnStack
from service_kit.pool import POSTGRES_ERRORS
from workflows.contracts import workflow_id

REPLAYED = 150
RESULTS_ASKED = 2_000
POLL_INTERVAL_S = 0.5
# A process that was killed has gone by then, and whoever kept it running has written that down.
NOTICED_S = 0.5
LONG_STALL_S = 0.2
_LIFE = re.compile(r"^(\S+Z) (exited|ready) (\S+) pid=")
_HELD_BACK = re.compile(r'"order_id":\s*"([0-9a-f-]{36})"')
_RULE = re.compile(r'"rule":\s*"([^"]+)"')


async def wait_until_settled(
    target: OwnStack, healed_at: float, customers: Collection[str]
) -> float | None:
    """Return when no order was open any more (wall clock, s); None if some still are.

    Seen from outside: the system's own times are worth nothing where its clocks are turned.
    """
    looks = 0
    while not looks or time.monotonic() - healed_at < SETTLE_WITHIN_S + 30.0:
        looks += 1
        with contextlib.suppress(*POSTGRES_ERRORS):
            if await open_orders(target.dsn("orders"), customers) == 0:
                return time.time()
        await asyncio.sleep(POLL_INTERVAL_S)
    return None


def settled_within_s(
    observations: Observations,
    disturbances: Sequence[Disturbance],
    settled_at: Sequence[float | None],
) -> float | None:
    """Return how long after a part's last fault or sending its last order ended, at the worst.

    `settled_at` says of each part of the run when nothing was open any more. None if an order has
    not ended, or had not when its part was over.
    """
    if not settled_at or any(row.status not in TERMINAL for row in observations.orders):
        return None
    sent = [entry.at for entry in observations.history if entry.operation == "place"]
    causes = [*sent, *(gone.end for gone in disturbances)]
    worst, begin = 0.0, 0.0
    for at in settled_at:
        if at is None:
            return None
        healed = max((cause for cause in causes if begin < cause <= at), default=at)
        worst, begin = max(worst, at - healed), at
    return worst


def disturbances_of(
    events: Sequence[Disturbance], observations: Observations, logs: Path, since: float
) -> list[Disturbance]:
    """Return the times at which some process was gone, also those killed by a fault point.

    `logs` is the folder of the stack's logs; what they say of the time before `since` is left out.
    """
    return [
        *events,
        *(
            Disturbance(fired.at, fired.at + NOTICED_S, f"{fired.rule} killed a process")
            for fired in observations.fired
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


def stood_still(observations: Observations) -> list[Disturbance]:
    """Return the times at which the machine let nobody run for longer than a step may take."""
    return [
        Disturbance(begin, end, f"nothing ran for {lost:.1f} s")
        for source, begin, end, lost in observations.stalls
        if source != "line" and lost >= LONG_STALL_S
    ]


async def subscribers_done(target: OwnStack, within_s: float = 45.0) -> None:
    """Wait until the subscribers have read every event; they owe it, but not at once."""
    for _ in range(int(within_s / POLL_INTERVAL_S)):
        if await unread_events(target.dsn("orders")) == 0:
            return
        await asyncio.sleep(POLL_INTERVAL_S)


async def workflows_done(temporal: TemporalReader, mine: set[str], within_s: float = 45.0) -> None:
    """Wait until the engine knows that every order has ended; it may learn it after the row."""
    for _ in range(int(within_s / POLL_INTERVAL_S)):
        if not mine & await temporal.running():
            return
        await asyncio.sleep(POLL_INTERVAL_S)


async def gather(
    target: OwnStack,
    planned: tuple[PlannedOrder, ...],
    history: History,
    forgotten: frozenset[UUID],
) -> Observations:
    """Return everything that the checks need, read while nothing moves any more.

    `forgotten` are the orders whose workflows the run itself has deleted.
    """
    await subscribers_done(target)
    observations = await read_databases(
        target.dsn("orders"), target.dsn("inventory"), planned, history.entries
    )
    observations.fired += target.evidence.fired
    observations.turned_away = frozenset(target.evidence.turned_away)
    if isinstance(target, OthersStack):
        observations = without_others(observations)
    observations.forgotten = forgotten
    temporal = await TemporalReader.connect(target.temporal_address)
    mine = {workflow_id(row.order_id) for row in observations.orders}
    await workflows_done(temporal, mine)
    observations.parked = await temporal.parked(target.poisoned)
    observations.workflows = await temporal.listed()
    if isinstance(target, OthersStack):
        mine |= observations.parked.keys()
        observations.workflows = [
            flow for flow in observations.workflows if flow.workflow_id in mine
        ]
    ids = [row.order_id for row in observations.orders if row.order_id not in forgotten]
    asked = _sample(ids, observations, RESULTS_ASKED)
    observations.results = await temporal.results(asked)
    observations.api_statuses = await api_statuses(
        target.order_url, target.token("oracle", "staff"), asked
    )
    observations.releases = target.releases
    if observations.releases:
        observations.packed_by = await packed_by(temporal.client)
    went_over = {each for each in ids if workflow_id(each) in target.went_over}
    observations.replays = await temporal.replays(
        went_over.union(_sample(ids, observations, REPLAYED)), release(observations.releases)
    )
    observations.endpoint_answers = await check_endpoints(target)
    return observations


def _sample(ids: Sequence[UUID], observations: Observations, limit: int) -> list[UUID]:
    """Return the orders that faults have hit first, and some others, at most `limit`."""
    hit = [order_id for order_id in ids if order_id in observations.affected]
    rest = [order_id for order_id in ids if order_id not in observations.affected]
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
