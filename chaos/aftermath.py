"""After the attack: wait until all is settled, ask every endpoint, read all there is to know."""

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import asyncpg

from activities.contracts import TERMINAL
from chaos.facts import Facts, Probe, without_others
from chaos.ground import Ground, OthersGround
from chaos.history import History
from chaos.oracle import Engine, open_orders, read_facts, seen, statuses, unread_events
from chaos.order_invariants import SETTLE_WITHIN_S
from chaos.orders import PlannedOrder
from chaos.prediction import Disturbance
from deploy.local.services import INVENTORY
from workflows.contracts import workflow_id

LAST_ANSWERS = 5
REPLAYED = 150
RESULTS_ASKED = 2_000
LOOK_S = 0.5
# Whom the run itself orders as after the heal; not one of the planned customers.
PROBER = "prober"
_HELD_BACK = re.compile(r'"order_id":\s*"([0-9a-f-]{36})"')
_RULE = re.compile(r'"rule":\s*"([^"]+)"')


async def settle(ground: Ground, healed_at: float, customers: Collection[str]) -> float | None:
    """Return when no order was open any more (wall clock, s); None if some still are.

    Seen from outside: the system's own times are worth nothing where its clocks are turned.
    """
    while time.monotonic() - healed_at < SETTLE_WITHIN_S + 30.0:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            if await open_orders(ground.dsn("orders"), customers) == 0:
                return time.time()
        await asyncio.sleep(LOOK_S)
    return None


def settled_within_s(
    facts: Facts, disturbances: Sequence[Disturbance], settled_at: float | None
) -> float | None:
    """Return how long after the last fault or sending the last order ended; None if one has not."""
    if settled_at is None or any(row.status not in TERMINAL for row in facts.orders):
        return None
    sent = [e.at for e in facts.history if e.operation == "place" and e.at < settled_at]
    healed = max([*sent, *(gone.end for gone in disturbances)], default=0.0)
    return max(settled_at - healed, 0.0)


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
    rest_before = await statuses(ground.dsn("orders"))
    await add_ons_done(ground)
    facts = await read_facts(
        ground.dsn("orders"), ground.dsn("inventory"), planned, history.entries
    )
    facts.fired += ground.evidence.fired
    if isinstance(ground, OthersGround):
        facts = without_others(facts)
    facts.rest_before = rest_before
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
    facts.replays = await engine.replays(_sample(ids, facts, REPLAYED))
    facts.probes = await probe(ground)
    return facts


def _sample(ids: Sequence[UUID], facts: Facts, limit: int) -> list[UUID]:
    """Return the orders that faults have hit first, and some others, at most `limit`."""
    hit = [order_id for order_id in ids if order_id in facts.affected]
    rest = [order_id for order_id in ids if order_id not in facts.affected]
    dice = random.Random(len(ids))
    chosen = dice.sample(hit, min(len(hit), limit * 3 // 4))
    return chosen + dice.sample(rest, min(len(rest), limit - len(chosen)))


async def probe(ground: Ground) -> list[Probe]:
    """Ask every endpoint five times and return the answers."""
    order, inventory = ground.order_url, ground.stack.url(INVENTORY)
    shopper = {"Authorization": f"Bearer {ground.token(PROBER)}"}
    staff = {"Authorization": f"Bearer {ground.token(PROBER, 'staff')}"}
    found: list[Probe] = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session:

        async def ask(method: str, url: str, headers: dict[str, str], **content: object) -> str:
            path = url.partition("//")[2].partition("/")[2]
            name = f"{method} /{path.partition('?')[0]}"
            try:
                async with session.request(method, url, headers=headers, **content) as response:  # type: ignore[arg-type]
                    found.append(Probe(name, response.status))
                    return await response.text()
            except (aiohttp.ClientError, TimeoutError):
                found.append(Probe(name, None))
                return ""

        await ask("POST", f"{order}/v1/orders", {**shopper, **_key()}, json=_ONE_MUG)
        found.clear()  # the first one may meet connections that died with the last fault
        for _ in range(LAST_ANSWERS):
            await ask("POST", f"{order}/v1/orders", {**shopper, **_key()}, json=_ONE_MUG)
            await ask("GET", f"{order}/v1/orders?limit=1", shopper)
            await ask("GET", f"{order}/v1/products", shopper)
            await ask("GET", f"{order}/v1/ops/response-time", shopper)
            await ask("GET", f"{inventory}/v1/stock", staff)
            await ask("GET", f"{inventory}/v1/stock/MUG-BLUE", staff)
            for base in (order, *(ground.stack.url(name) for name in ground.services)):
                for path in ("/livez", "/readyz", "/health", "/metrics"):
                    await ask("GET", f"{base}{path}", {})
    return found


_ONE_MUG = {"lines": [{"sku": "MUG-BLUE", "quantity": 1}]}


def _key() -> dict[str, str]:
    return {"Idempotency-Key": f"probe-{uuid4()}"}


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
