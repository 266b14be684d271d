"""Collector of all that the checks need, once all is at rest: databases, Temporal, the API."""

import asyncio
import random
from collections.abc import Sequence
from uuid import UUID

import aiohttp

from chaos.checker.databases import read_databases
from chaos.checker.drain import subscribers_done, workflows_done
from chaos.checker.endpoints import check_endpoints
from chaos.checker.observations import Observations, without_others
from chaos.checker.temporal import CONCURRENCY, TemporalReader
from chaos.client.history import History
from chaos.nemesis.workflow_release import packed_by, release
from chaos.scenarios.workload import PlannedOrder
from chaos.target.target import Target
from workflows.contracts import workflow_id

REPLAYED = 150
RESULTS_ASKED = 2_000


async def collect(
    target: Target,
    planned: tuple[PlannedOrder, ...],
    history: History,
    forgotten: frozenset[UUID],
) -> Observations:
    """Return everything that the checks need, read while nothing moves any more.

    `forgotten` are the orders whose workflows the run itself has deleted.
    """
    dsn, faults = target.system.dsn, target.temporal_faults
    await subscribers_done(dsn("orders"))
    found = await read_databases(dsn("orders"), dsn("inventory"), planned, history.entries)
    found.fired += target.evidence.fired
    found.turned_away = frozenset(target.evidence.turned_away)
    if target.shared:
        found = without_others(found)
    found.forgotten = forgotten
    temporal = await TemporalReader.connect(target.temporal_address)
    mine = {workflow_id(row.order_id) for row in found.orders}
    await workflows_done(temporal.client, mine)
    found.parked = await temporal.parked(faults.poisoned)
    found.workflows = await temporal.listed()
    if target.shared:
        mine |= found.parked.keys()
        found.workflows = [flow for flow in found.workflows if flow.workflow_id in mine]
    ids = [row.order_id for row in found.orders if row.order_id not in forgotten]
    asked = _sample(ids, found, RESULTS_ASKED)
    found.results = await temporal.results(asked)
    found.api_statuses = await api_statuses(
        target.to_orders.url, target.token("checker", "staff"), asked
    )
    found.releases = faults.releases
    if found.releases:
        found.packed_by = await packed_by(temporal.client)
    went_over = {each for each in ids if workflow_id(each) in faults.went_over}
    replayed = went_over.union(_sample(ids, found, REPLAYED))
    found.replays = await temporal.replays(replayed, release(found.releases))
    found.endpoint_answers = await check_endpoints(target)
    return found


def _sample(ids: Sequence[UUID], observations: Observations, limit: int) -> list[UUID]:
    """Return the orders that faults have hit first, and some others, at most `limit`."""
    hit = [order_id for order_id in ids if order_id in observations.affected]
    rest = [order_id for order_id in ids if order_id not in observations.affected]
    dice = random.Random(len(ids))
    chosen = dice.sample(hit, min(len(hit), limit * 3 // 4))
    return chosen + dice.sample(rest, min(len(rest), limit - len(chosen)))


async def api_statuses(
    base_url: str, token: str, orders: Sequence[UUID], within_s: float = 60.0
) -> dict[UUID, str]:
    """Return the status that the API gives for each order."""
    gate = asyncio.Semaphore(CONCURRENCY)
    headers = {"Authorization": f"Bearer {token}"}
    limit = aiohttp.ClientTimeout(total=within_s)
    async with aiohttp.ClientSession(headers=headers, timeout=limit) as session:

        async def one(order_id: UUID) -> tuple[UUID, str]:
            try:
                async with gate, session.get(f"{base_url}/v1/orders/{order_id}") as response:
                    body = await response.json()
                    return order_id, str(body.get("status"))
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                return order_id, f"no answer: {type(error).__name__}"

        return dict(await asyncio.gather(*(one(order_id) for order_id in orders)))
