"""Somebody sits on a lock: inventory_api says so quickly, and goes on as soon as it can."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import asyncpg
import httpx
import pytest

import inventory_api.seed
from tests.integration.backstage import Backstage
from tests.integration.databases import Databases
from tests.integration.serving import bearer, serve_inventory

# The worker gives a fast attempt 0.6 s; far above that to allow for a busy machine.
QUICK_S = 2.0


@pytest.fixture
def dsn(backstage: Backstage, databases: Databases) -> Iterator[str]:
    with databases.fresh("inventory") as dsn:
        backstage.run(inventory_api.seed.seed(dsn, {"LOCKED": 5, "FREE": 5}))
        yield dsn


@pytest.fixture
def client(dsn: str) -> Iterator[httpx.Client]:
    with (
        serve_inventory(dsn) as served,
        httpx.Client(base_url=served.url, headers=bearer("service"), timeout=10) as client,
    ):
        yield client


def reserve(client: httpx.Client, order: str, sku: str) -> httpx.Response:
    body = {"lines": [{"sku": sku, "quantity": 1}]}
    return client.put(f"/v1/reservations/{order}", json=body)


@pytest.mark.parametrize(
    "lock",
    [
        "SELECT FROM stock WHERE sku = 'LOCKED' FOR UPDATE",
        "LOCK TABLE stock IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE movements IN ACCESS EXCLUSIVE MODE",
    ],
)
def test_a_held_lock_is_answered_quickly_and_is_no_loss(
    backstage: Backstage, dsn: str, client: httpx.Client, lock: str
) -> None:
    order, shipped = str(uuid4()), str(uuid4())
    assert reserve(client, shipped, "LOCKED").status_code == 200
    holder = backstage.run(asyncpg.connect(dsn))
    backstage.run(holder.execute("BEGIN"))
    backstage.run(holder.execute(lock))
    calls: tuple[Callable[[], httpx.Response], ...] = (
        lambda: reserve(client, order, "LOCKED"),
        lambda: client.post(f"/v1/reservations/{shipped}/commit"),
    )
    for call in calls:
        began = time.monotonic()
        answer = call()
        assert time.monotonic() - began < QUICK_S
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["type"] == "/problems/warehouse-busy"
    backstage.run(holder.execute("ROLLBACK"))
    backstage.run(holder.close())
    assert [call().status_code for call in calls] == [200, 200]
    level = client.get("/v1/stock/LOCKED").json()
    assert (level["on_hand"], level["reserved"]) == (4, 1)


def test_a_lock_on_one_shelf_does_not_stop_the_others(
    backstage: Backstage, dsn: str, client: httpx.Client
) -> None:
    holder = backstage.run(asyncpg.connect(dsn))
    backstage.run(holder.execute("BEGIN"))
    backstage.run(holder.execute("SELECT FROM stock WHERE sku = 'LOCKED' FOR UPDATE"))
    assert reserve(client, str(uuid4()), "FREE").status_code == 200
    assert client.get("/v1/stock/LOCKED").status_code == 200
    assert client.get("/readyz").status_code == 200
    backstage.run(holder.execute("ROLLBACK"))
    backstage.run(holder.close())


def test_missing_tables_are_said_so_by_health_and_not_by_a_500(
    backstage: Backstage, dsn: str, client: httpx.Client
) -> None:
    owner = backstage.run(asyncpg.connect(dsn))
    backstage.run(owner.execute("ALTER TABLE movements RENAME TO gone"))
    health = client.get("/health")
    assert health.status_code == 503
    [check] = health.json()["checks"]["postgres:tables"]
    assert (check["status"], check["output"]) == ("fail", "missing: movements")
    assert reserve(client, str(uuid4()), "FREE").status_code == 503
    assert client.get(f"/v1/reservations/{uuid4()}").status_code == 503
    backstage.run(owner.execute("ALTER TABLE gone RENAME TO movements"))
    backstage.run(owner.close())
    assert reserve(client, str(uuid4()), "FREE").status_code == 200


def test_a_database_that_is_gone_is_a_503_and_not_a_crash(databases: Databases) -> None:
    with ExitStack() as outer:
        with databases.fresh("inventory") as dsn:
            served = outer.enter_context(serve_inventory(dsn))
        # it has been dropped under the pool's sessions
        client = outer.enter_context(httpx.Client(base_url=served.url, headers=bearer("service")))
        assert reserve(client, str(uuid4()), "FREE").status_code == 503
        assert client.get("/health").status_code == 503
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
