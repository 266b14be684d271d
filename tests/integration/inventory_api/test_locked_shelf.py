"""Somebody sits on a lock: inventory_api says so quickly, and goes on as soon as it can."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from uuid import uuid4

import asyncpg
import httpx
import pytest

import inventory_api.seed
from inventory_api.stock import Stock
from inventory_api.verdicts import Verdict
from tests.support import asking_again
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.ledger import broken_promises
from tests.support.serving import bearer, serve_inventory
from tests.support.stock_replicas import line, replicas

# The worker gives a fast attempt 0.6 s; far above that to allow for a busy machine.
QUICK_S = 2.0


@pytest.fixture
def dsn(loop_thread: EventLoopThread, databases: Databases) -> Iterator[str]:
    with databases.fresh("inventory") as dsn:
        loop_thread.run(inventory_api.seed.seed(dsn, {"LOCKED": 5, "FREE": 5}))
        yield dsn


@pytest.fixture
def client(dsn: str) -> Iterator[httpx.Client]:
    with (
        serve_inventory(dsn) as served,
        httpx.Client(base_url=served.url, headers=bearer("service"), timeout=30) as client,
    ):
        yield client


def reserve(client: httpx.Client, order: str, sku: str) -> httpx.Response:
    body = {"lines": [{"sku": sku, "quantity": 1}]}
    return client.put(f"/v1/reservations/{order}", json=body)


def at_last(send: Callable[[], httpx.Response]) -> httpx.Response:
    return asking_again.at_last(send, asking_again.status_of)


def quick(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Return an answer that was quick; of three, as the machine may stand still during one."""
    for _ in range(3):
        began = time.monotonic()
        answer = send()
        took_s = time.monotonic() - began
        if took_s < QUICK_S:
            return answer
    raise AssertionError(f"{took_s:.1f} s")


@pytest.mark.parametrize(
    "lock",
    [
        "SELECT FROM stock WHERE sku = 'LOCKED' FOR UPDATE",
        "LOCK TABLE stock IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE movements IN ACCESS EXCLUSIVE MODE",
    ],
)
def test_a_held_lock_is_answered_quickly_and_is_no_loss(
    loop_thread: EventLoopThread, dsn: str, client: httpx.Client, lock: str
) -> None:
    order, shipped = str(uuid4()), str(uuid4())
    assert at_last(lambda: reserve(client, shipped, "LOCKED")).status_code == 200
    holder = loop_thread.run(asyncpg.connect(dsn))
    loop_thread.run(holder.execute("BEGIN"))
    loop_thread.run(holder.execute(lock))
    calls: tuple[Callable[[], httpx.Response], ...] = (
        lambda: reserve(client, order, "LOCKED"),
        lambda: client.post(f"/v1/reservations/{shipped}/commit"),
    )
    for send in calls:
        answer = quick(send)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["type"] == "/problems/warehouse-busy"
    loop_thread.run(holder.execute("ROLLBACK"))
    loop_thread.run(holder.close())
    assert [at_last(send).status_code for send in calls] == [200, 200]
    level = at_last(lambda: client.get("/v1/stock/LOCKED")).json()
    assert (level["on_hand"], level["reserved"]) == (4, 1)


def test_a_lock_on_one_shelf_does_not_stop_the_others(
    loop_thread: EventLoopThread, dsn: str, client: httpx.Client
) -> None:
    holder = loop_thread.run(asyncpg.connect(dsn))
    loop_thread.run(holder.execute("BEGIN"))
    loop_thread.run(holder.execute("SELECT FROM stock WHERE sku = 'LOCKED' FOR UPDATE"))
    order = str(uuid4())
    assert at_last(lambda: reserve(client, order, "FREE")).status_code == 200
    for path in ("/v1/stock/LOCKED", "/readyz"):
        assert at_last(partial(client.get, path)).status_code == 200
    loop_thread.run(holder.execute("ROLLBACK"))
    loop_thread.run(holder.close())


def told(answer: Verdict | BaseException) -> str | None:
    if isinstance(answer, asyncpg.LockNotAvailableError):
        return "locked"
    assert isinstance(answer, Verdict), answer
    return answer.state


async def test_those_who_share_a_batch_with_a_locked_shelf_are_served(
    loop_thread: EventLoopThread, dsn: str
) -> None:
    """Group commit must not make one shelf's trouble everybody's."""
    await inventory_api.seed.seed(dsn, {"SAT-ON": 6, "ELSE": 100})
    holder = await asyncpg.connect(dsn)
    async with replicas(dsn, lock_timeout_s=0.2, deadline_s=10) as [stock]:
        for tries_left in (2, 1, 0):
            answers, settled = await beside_a_locked_shelf(stock, holder)
            if "locked" not in answers[1::2] + settled[::2] or not tries_left:
                break
            # Two batches want the other shelf, too. One that waits for the locked one sits on it
            # for as long as the other waits for it, or longer if the machine stands still.
    assert answers == ["locked", "held"] * 10 + ["refused"]
    assert settled == ["committed", "locked"] * 2
    assert await broken_promises(holder) == {}
    await holder.close()


async def beside_a_locked_shelf(
    stock: Stock, holder: "asyncpg.Connection[asyncpg.Record]"
) -> tuple[list[str | None], list[str | None]]:
    """Return what is told to a crowd of new orders, and to four that are to be shipped."""
    held = [uuid4() for _ in range(4)]
    for number, order in enumerate(held):
        await stock.reserve(order, (line("SAT-ON" if number % 2 else "ELSE"),))
    async with holder.transaction():
        await holder.fetch("SELECT FROM stock WHERE sku = 'SAT-ON' FOR UPDATE")
        busy = [stock.reserve(uuid4(), (line("SAT-ON"), line("ELSE"))) for _ in range(10)]
        free = [stock.reserve(uuid4(), (line("ELSE"),)) for _ in range(10)]
        unknown = stock.reserve(uuid4(), (line("NO-SUCH"),))
        mixed = [one for pair in zip(busy, free, strict=True) for one in pair]
        answers = await asyncio.gather(*mixed, unknown, return_exceptions=True)
        settled = await asyncio.gather(
            *(stock.commit(order) for order in held), return_exceptions=True
        )
    return [told(answer) for answer in answers], [told(answer) for answer in settled]


def test_missing_tables_are_said_so_by_health_and_not_by_a_500(
    loop_thread: EventLoopThread, dsn: str, client: httpx.Client
) -> None:
    owner = loop_thread.run(asyncpg.connect(dsn))
    loop_thread.run(owner.execute("ALTER TABLE movements RENAME TO gone"))
    end = time.monotonic() + 30
    while time.monotonic() < end:
        health = client.get("/health")
        [check] = health.json()["checks"]["postgres:tables"]
        if "missing" in check.get("output", ""):  # and not that it could not be read in time
            break
    assert health.status_code == 503
    assert (check["status"], check["output"]) == ("fail", "missing: movements")
    assert reserve(client, str(uuid4()), "FREE").status_code == 503
    assert client.get(f"/v1/reservations/{uuid4()}").status_code == 503
    loop_thread.run(owner.execute("ALTER TABLE gone RENAME TO movements"))
    loop_thread.run(owner.close())
    order = str(uuid4())
    assert at_last(lambda: reserve(client, order, "FREE")).status_code == 200


def test_a_database_that_is_gone_is_a_503_and_not_a_crash(databases: Databases) -> None:
    with ExitStack() as outer:
        with databases.fresh("inventory") as dsn:
            served = outer.enter_context(serve_inventory(dsn))
        # it has been dropped under the pool's sessions
        client = outer.enter_context(
            httpx.Client(base_url=served.url, headers=bearer("service"), timeout=30)
        )
        assert reserve(client, str(uuid4()), "FREE").status_code == 503
        assert client.get("/health").status_code == 503
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
