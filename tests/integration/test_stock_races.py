"""Interleavings that a busy day brings about, made to happen: one effect, whoever comes first."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

import inventory_api.seed
from inventory_api.stock import SETTLE, Stock
from tests.integration.ledger import broken_promises
from tests.integration.warehouses import call, line, new_sku, replicas

Connection = asyncpg.Connection

LOCK = "SELECT FROM reservations WHERE order_id = ANY ($1) FOR UPDATE"
IS_WAITING = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1"
NAP = "SELECT pg_sleep(0.002)"  # Postgres tells nobody when a session begins to wait


@pytest.fixture
async def database(inventory_database: str) -> AsyncIterator["Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(inventory_database)
    yield connection
    await connection.close()


@pytest.fixture
async def watcher(inventory_database: str) -> AsyncIterator["Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(inventory_database)
    yield connection
    await connection.close()


@pytest.fixture
async def stock(inventory_database: str) -> AsyncIterator[Stock]:
    async with replicas(inventory_database) as [stock]:
        yield stock


async def test_a_commit_and_a_release_that_meet_a_fresh_hold_do_not_both_win(
    inventory_database: str,
    database: "Connection[asyncpg.Record]",
    watcher: "Connection[asyncpg.Record]",
    stock: Stock,
) -> None:
    """Both have looked for holds before there was one, and wait for a lock on another order.

    The hold is then made, and both go on, each believing that the order is theirs to settle.
    """
    settlers = {
        target: await asyncpg.connect(inventory_database) for target in ("committed", "released")
    }
    for _ in range(10):  # whether the two overlap once they are let go is up to the scheduler
        sku = new_sku()
        others = {target: (uuid4(), new_sku()) for target in settlers}
        shelves = {sku: 20, **{other_sku: 20 for _, other_sku in others.values()}}
        await inventory_api.seed.seed(inventory_database, shelves)
        # somebody else's hold, without which the CHECKs on the shelf would notice
        await stock.reserve(call(), (line(sku, 10),))
        for other, other_sku in others.values():
            await stock.reserve(call(other), (line(other_sku),))
        order = uuid4()
        settling = []
        async with database.transaction():
            await database.fetch(LOCK, [other for other, _ in others.values()])
            for target, settler in settlers.items():
                batch = [others[target][0], order]
                settling.append(asyncio.create_task(settler.fetch(SETTLE, batch, target)))
                while not await watcher.fetchval(IS_WAITING, settler.get_server_pid()):
                    await watcher.execute(NAP)
            assert (await stock.reserve(call(order), (line(sku, 3),))).state == "held"
        await asyncio.gather(*settling, return_exceptions=True)
        assert await broken_promises(database) == {}
    for settler in settlers.values():
        await settler.close()
