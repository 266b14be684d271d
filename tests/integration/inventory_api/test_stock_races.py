"""Interleavings that a busy day brings about, made to happen: one effect, whoever comes first."""

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

import inventory_api.seed
from deploy.local.postgres.connection import connected
from inventory_api.stock import COMMIT_OR_RELEASE, Stock
from tests.support.ledger import broken_promises
from tests.support.stock_replicas import line, new_sku, replicas

Connection = asyncpg.Connection

LOCK = "SELECT FROM reservations WHERE order_id = ANY ($1) FOR UPDATE"
IS_WAITING = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1"
NAP = "SELECT pg_sleep(0.002)"  # Postgres tells nobody when a session begins to wait


@pytest.fixture
async def database(inventory_database: str) -> AsyncIterator["Connection[asyncpg.Record]"]:
    async with connected(inventory_database) as connection:
        yield connection


@pytest.fixture
async def watcher(inventory_database: str) -> AsyncIterator["Connection[asyncpg.Record]"]:
    async with connected(inventory_database) as connection:
        yield connection


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

    The hold is then made, and both go on, each believing that the order is theirs to end.
    """
    callers = {
        target: await asyncpg.connect(inventory_database) for target in ("committed", "released")
    }
    for _ in range(10):  # whether the two overlap once they are let go is up to the scheduler
        sku = new_sku()
        others = {target: (uuid4(), new_sku()) for target in callers}
        shelves = {sku: 20, **{other_sku: 20 for _, other_sku in others.values()}}
        await inventory_api.seed.seed(inventory_database, shelves)
        # somebody else's hold, without which the CHECKs on the shelf would notice
        await stock.reserve(uuid4(), (line(sku, 10),))
        for other, other_sku in others.values():
            await stock.reserve(other, (line(other_sku),))
        order = uuid4()
        settling = []
        async with database.transaction():
            await database.fetch(LOCK, [other for other, _ in others.values()])
            for target, caller in callers.items():
                batch = [others[target][0], order]
                settling.append(asyncio.create_task(caller.fetch(COMMIT_OR_RELEASE, batch, target)))
                while not await watcher.fetchval(IS_WAITING, caller.get_server_pid()):
                    await watcher.execute(NAP)
            assert (await stock.reserve(order, (line(sku, 3),))).state == "held"
        await asyncio.gather(*settling, return_exceptions=True)
        assert await broken_promises(database) == {}
    for caller in callers.values():
        await caller.close()


async def test_orders_that_want_the_same_shelves_in_opposite_order_do_not_deadlock(
    inventory_database: str, database: "Connection[asyncpg.Record]"
) -> None:
    skus = [new_sku() for _ in range(6)]
    await inventory_api.seed.seed(inventory_database, dict.fromkeys(skus, 10_000))
    # lock_timeout is far above Postgres' deadlock_timeout: a deadlock would be an error here
    async with replicas(inventory_database, 3) as stocks:

        async def live(number: int) -> None:
            stock, order = stocks[number % 3], uuid4()
            wanted = [line(sku) for sku in (skus if number % 2 else reversed(skus))]
            if number % 5 == 0:  # a release that overtakes its hold, on another replica
                early = asyncio.create_task(stocks[(number + 1) % 3].release(order))
                await stock.reserve(order, tuple(wanted))
                await early
            else:
                assert (await stock.reserve(order, tuple(wanted))).state == "held"
            end = stock.commit if number % 3 else stock.release
            await end(order)

        await asyncio.gather(*(live(number) for number in range(400)))
    assert await broken_promises(database) == {}


async def test_a_release_that_races_its_own_hold_leaves_nothing_held(
    inventory_database: str, database: "Connection[asyncpg.Record]"
) -> None:
    sku = new_sku()
    await inventory_api.seed.seed(inventory_database, {sku: 500})
    async with replicas(inventory_database, 2) as [here, there]:
        dice = random.Random(7)

        async def give_up(order: UUID) -> str | None:
            await asyncio.sleep(dice.random() / 10)
            return (await there.release(order)).state

        async def hold(order: UUID) -> None:
            await asyncio.sleep(dice.random() / 10)
            await here.reserve(order, (line(sku),))

        orders = [uuid4() for _ in range(200)]
        # a few in either order, so that both are met however slow the machine; the others race
        await asyncio.gather(*(hold(order) for order in orders[:10]))
        await asyncio.gather(*(give_up(order) for order in orders[10:20]))
        holding = asyncio.gather(*(hold(order) for order in orders[10:]))
        answers = await asyncio.gather(*(give_up(order) for order in orders))
        await holding
        assert answers == ["released"] * 200
        level = await here.level(sku)
    assert level is not None
    assert (level.on_hand, level.reserved) == (500, 0)
    assert await broken_promises(database) == {}
    query = "SELECT count(*) FROM reservations WHERE request_digest IS NULL"
    tombstones = await database.fetchval(query)
    assert 10 <= tombstones <= 190, "only one order of events was met"


async def test_a_caller_that_leaves_does_not_take_its_neighbours_along(
    inventory_database: str, database: "Connection[asyncpg.Record]"
) -> None:
    sku = new_sku()
    await inventory_api.seed.seed(inventory_database, {sku: 100})
    async with replicas(inventory_database) as [stock]:
        staying = [asyncio.create_task(stock.reserve(uuid4(), (line(sku),))) for _ in range(50)]
        leaving = [asyncio.create_task(stock.reserve(uuid4(), (line(sku),))) for _ in range(50)]
        await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        verdicts = await asyncio.gather(*staying)
    assert [verdict.state for verdict in verdicts] == ["held"] * 50
    assert await broken_promises(database) == {}


async def test_the_ledger_cannot_be_rewritten(database: "Connection[asyncpg.Record]") -> None:
    await database.execute("INSERT INTO stock (sku, on_hand) VALUES ('A', 1)")
    await database.execute(
        "INSERT INTO movements (sku, operation, quantity) VALUES ('A', 'initial', 1)"
    )
    for statement in (
        "UPDATE movements SET quantity = 2",
        "DELETE FROM movements",
        "TRUNCATE movements",
        "TRUNCATE stock CASCADE",
    ):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await database.execute(statement)
    assert await broken_promises(database) == {}


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE stock SET on_hand = -1, reserved = -1", "stock_on_hand_not_negative"),
        ("UPDATE stock SET reserved = -1", "stock_reserved_not_negative"),
        ("UPDATE stock SET reserved = 2", "stock_not_oversold"),
    ],
)
async def test_the_shelf_itself_refuses_what_cannot_be(
    database: "Connection[asyncpg.Record]", statement: str, constraint: str
) -> None:
    await database.execute("INSERT INTO stock (sku, on_hand) VALUES ('A', 1)")
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await database.execute(statement)
    assert caught.value.constraint_name == constraint
