"""Sessions that die, and pools that run dry: 503 now, right later, and never a 500."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

import inventory_api.seed
from deploy.local.ports import free_port
from tests.support.databases import Databases, name_in
from tests.support.event_loop_thread import EventLoopThread
from tests.support.ledger import broken_promises
from tests.support.order_stack import answered_within, eventually
from tests.support.serving import Served, bearer, serve_inventory, serve_orders

TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = $1 AND pid <> pg_backend_pid() AND application_name <> 'reader'
"""
EVERY_S = 0.05
KILLS = 10
CALLERS = 30
CALLS = 5


@pytest.fixture(scope="module")
def dsns(loop_thread: EventLoopThread, databases: Databases) -> Iterator[dict[str, str]]:
    with databases.fresh("orders") as orders, databases.fresh("inventory") as inventory:
        loop_thread.run(inventory_api.seed.seed(inventory))
        yield {"orders": orders, "inventory": inventory}


@pytest.fixture(scope="module")
def inventory(dsns: dict[str, str]) -> Iterator[Served]:
    with serve_inventory(dsns["inventory"]) as served:
        yield served


@pytest.fixture(scope="module")
def orders(dsns: dict[str, str]) -> Iterator[Served]:
    """Without Temporal, and not waiting for it."""
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", nowhere)
        with serve_orders(dsns["orders"], f"http://{nowhere}", answer_budget_s=0) as served:
            yield served


@asynccontextmanager
async def shaking(
    databases: Databases, dsn: str, answered: asyncio.Event
) -> AsyncIterator[asyncio.Event]:
    """Kill every session of the database, again and again; the event is set after enough kills.

    Each time only after something was `answered`: a machine may need longer for a new session
    than any pause between two kills lasts.
    """
    admin = await asyncpg.connect(databases.postgres.admin_dsn())
    name = name_in(dsn)
    killed = 0
    enough = asyncio.Event()

    async def shake() -> None:
        nonlocal killed
        while True:
            await answered.wait()
            answered.clear()
            killed += await admin.fetchval(TERMINATE, name)
            if killed >= KILLS:
                enough.set()
            await asyncio.sleep(EVERY_S)

    task = asyncio.create_task(shake())
    task.add_done_callback(lambda _: enough.set())  # if it fails, nobody waits for more
    try:
        yield enough
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await admin.close()
    assert killed >= KILLS, "nothing was shaken"


class Insisting:
    """Sends until there is a definite answer; only 503 is worth repeating."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.seen: Counter[int] = Counter()
        self.answered = asyncio.Event()

    async def send(self, method: str, url: str, **request: Any) -> Any:
        while True:
            async with self._session.request(method, url, **request) as answer:
                self.seen[answer.status] += 1
                body = await answer.json(content_type=None)
            if answer.status != 503:
                self.answered.set()
                return body
            assert body["type"].startswith("/problems/")


async def test_a_warehouse_whose_sessions_die_loses_and_doubles_nothing(
    databases: Databases, dsns: dict[str, str], inventory: Served
) -> None:
    orders: list[str] = []
    line = {"sku": "MUG-BLUE", "quantity": 1}

    async def buyer(client: Insisting, enough: asyncio.Event) -> None:
        for number in itertools.count():
            if number >= CALLS and enough.is_set():
                return
            orders.append(order := str(uuid4()))
            url = f"{inventory.url}/v1/reservations/{order}"
            await client.send("PUT", url, json={"lines": [line]})
            await client.send("POST", f"{url}/commit")

    async with aiohttp.ClientSession(headers=bearer("service")) as session:
        client = Insisting(session)
        async with shaking(databases, dsns["inventory"], client.answered) as enough:
            await asyncio.gather(*(buyer(client, enough) for _ in range(CALLERS)))
    assert set(client.seen) <= {200, 503}, client.seen
    assert client.seen[200] == 2 * len(orders)
    reader = await asyncpg.connect(dsns["inventory"])
    states = await reader.fetch("SELECT state, count(*) FROM reservations GROUP BY 1")
    assert [tuple(row) for row in states] == [("committed", len(orders))]
    assert await broken_promises(reader) == {}
    await reader.close()


async def test_an_order_service_whose_sessions_die_keeps_what_it_acknowledged(
    databases: Databases, dsns: dict[str, str], orders: Served
) -> None:
    acknowledged: dict[str, str] = {}
    body = {"lines": [{"sku": "MUG-BLUE", "quantity": 1}, {"sku": "TEE-BASIC", "quantity": 2}]}

    async def shopper(client: Insisting, enough: asyncio.Event, name: int) -> None:
        for number in itertools.count():
            if number >= CALLS and enough.is_set():
                return
            key = f"{name}-{number}"
            who = bearer(subject=f"shopper {name}") | {"Idempotency-Key": key}
            url = f"{orders.url}/v1/orders"
            answer = await client.send("POST", url, json=body, headers=who)
            acknowledged[key] = answer["order_id"]

    async with aiohttp.ClientSession() as session:
        client = Insisting(session)
        async with shaking(databases, dsns["orders"], client.answered) as enough:
            await asyncio.gather(*(shopper(client, enough, name) for name in range(CALLERS)))
    assert set(client.seen) <= {202, 503}, client.seen
    reader = await asyncpg.connect(dsns["orders"])
    rows = await reader.fetch("""
        SELECT idempotency_key, order_id::text,
               (SELECT count(*) FROM order_lines l WHERE l.order_id = o.order_id),
               (SELECT count(*) FROM order_events e WHERE e.order_id = o.order_id)
        FROM orders o
        """)
    await reader.close()
    assert {key: order_id for key, order_id, _, _ in rows} == acknowledged
    assert {(lines, events) for _, _, lines, events in rows} == {(2, 1)}


async def test_a_pool_that_runs_dry_says_so_and_fills_again(
    dsns: dict[str, str], inventory: Served
) -> None:
    holder = await asyncpg.connect(dsns["inventory"])
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=bearer("staff"), connector=connector) as session:

        async def look() -> int:
            async with session.get(f"{inventory.url}/v1/stock") as answer:
                await answer.read()
            return answer.status

        async with holder.transaction():
            await holder.execute("LOCK TABLE stock IN ACCESS EXCLUSIVE MODE")
            async with answered_within(5.0, inventory):
                answers = await asyncio.gather(*(look() for _ in range(100)))
            assert set(answers) == {503}

        async def well() -> bool:
            return set(await asyncio.gather(*(look() for _ in range(20)))) == {200}

        async def healthy() -> bool:
            async with session.get(f"{inventory.url}/health") as answer:
                health = await answer.json(content_type=None)
            return bool(health["status"] == "pass")

        await eventually(well)
        await eventually(healthy)
    await holder.close()
