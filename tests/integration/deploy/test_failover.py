"""Another server becomes the primary, and the old one lives on, reading only."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

import subscribers.main
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.postgres.server import EmbeddedPostgres
from service_kit.postgres import pool
from service_kit.postgres.connection import connect, servers_in
from subscribers.contracts import OrderEvent
from subscribers.settings import SubscriberSettings
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import eventually
from tests.support.postgres_replicas import Replicas, replicated
from tests.support.serving import (
    TOKEN_KEY,
    Served,
    bearer,
    serve,
    serve_inventory,
    serve_orders,
    serve_worker,
)

_keys = count()


@pytest.fixture(scope="module")
def replicas(
    loop_thread: EventLoopThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    with loop_thread.entered(replicated(tmp_path_factory.mktemp("replicas"))) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def no_temporal() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", f"{LOOPBACK}:{free_port()}")
        yield


class Reader:
    """A subscriber that only remembers."""

    def __init__(self) -> None:
        self.read: list[OrderEvent] = []

    async def prepare(self, connection: Any) -> None: ...

    async def handle(self, event: OrderEvent, connection: Any) -> None:
        self.read.append(event)

    async def has_read_something(self) -> bool:
        return bool(self.read)


async def asked(method: str, url: str, role: str, **request: Any) -> httpx.Response:
    headers = bearer(role) | {"Idempotency-Key": f"failover-{next(_keys)}"}
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.request(method, url, headers=headers, **request)


async def is_ordered(served: Served) -> bool:
    body = {"lines": [{"sku": "MUG-BLUE", "quantity": 1}]}
    return (await asked("POST", f"{served.url}/v1/orders", "shopper", json=body)).status_code == 202


async def is_held(served: Served) -> bool:
    body = {"lines": [{"sku": "MUG-BLUE", "quantity": 1}]}
    url = f"{served.url}/v1/reservations/{uuid4()}"
    return (await asked("PUT", url, "service", json=body)).status_code == 200


async def readiness(served: Served) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(f"{served.url}/readyz")
    body: dict[str, Any] = answer.json()
    return {"ready": answer.status_code == 200, "writable": body["checks"]["postgres:writable"][0]}


async def are_ready(*all_served: Served) -> bool:
    return all([(await readiness(served))["ready"] for served in all_served])


async def says_why(served: Served) -> bool:
    found = await readiness(served)
    return not found["ready"] and "only reads" in found["writable"]["output"]


async def test_sessions_that_become_read_only_end_and_readiness_says_so(
    replicas: Replicas,
) -> None:
    """As in a failover behind one address, or when a provider closes a full disk for writes."""
    server = replicas.first
    with (
        serve_inventory(server.dsn("inventory")) as inventory,
        serve_orders(server.dsn("orders"), inventory.url, answer_budget_s=0) as orders,
    ):
        await eventually(lambda: is_held(inventory))
        await eventually(lambda: is_ordered(orders))
        await _told_to_read_only(server, True)
        await eventually(lambda: says_why(orders))
        await eventually(lambda: says_why(inventory))
        assert not await is_held(inventory)
        assert not await is_ordered(orders)
        await _told_to_read_only(server, False)
        await eventually(lambda: is_held(inventory))
        await eventually(lambda: is_ordered(orders))
        await eventually(lambda: are_ready(orders, inventory))


async def test_after_a_promotion_both_services_and_the_worker_find_the_new_primary(
    loop_thread: EventLoopThread, replicas: Replicas
) -> None:
    old = replicas.first.port
    reader = Reader()
    settings = SubscriberSettings(database_url=replicas.dsn("orders"), token_key=TOKEN_KEY)
    with (
        serve_inventory(replicas.dsn("inventory")) as inventory,
        serve_orders(replicas.dsn("orders"), inventory.url, answer_budget_s=0) as orders,
        serve_worker(replicas.dsn("orders"), inventory.url) as worker,
        serve(subscribers.main.create_app(settings, {"reader": reader})) as readers,
    ):
        await eventually(lambda: is_held(inventory))
        await eventually(lambda: is_ordered(orders))
        await eventually(reader.has_read_something)
        await asyncio.to_thread(loop_thread.run, replicas.fail_over())
        await eventually(lambda: is_held(inventory))
        await eventually(lambda: is_ordered(orders))
        await eventually(lambda: are_ready(inventory, orders, readers))
        reader.read.clear()
        await eventually(lambda: is_ordered(orders))
        await eventually(reader.has_read_something)

        async def worker_writes() -> bool:
            status: str = (await readiness(worker))["writable"]["status"]
            return status == "pass"

        await eventually(worker_writes)
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await connect(replicas.dsn("orders").replace(f",{LOOPBACK}:{replicas.second.port}", ""), 30)
    assert f":{old}" in replicas.dsn("orders")


async def test_a_server_that_swallows_packets_does_not_hide_the_next(databases: Any) -> None:
    server: EmbeddedPostgres = databases.postgres
    with closing(socket.create_server((LOOPBACK, 0))) as silent:  # accepts, never says a word
        dead = f"{LOOPBACK}:{silent.getsockname()[1]}"
        dsn = server.dsn("orders").replace(f"@{LOOPBACK}", f"@{dead},{LOOPBACK}")
        connections = await pool.create(
            dsn, name="test", size=2, lock_timeout_s=30, statement_timeout_s=30
        )
        # each server has its half of the time to connect, which a busy machine may use up
        assert await eventually(lambda: has_answered(connections), 60.0)
        connection: Any = await connections.acquire()
        wire = connection._con._transport.get_extra_info("socket")
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        connections.terminate()


def test_an_address_may_name_several_servers() -> None:
    several = "postgresql://u:p%40ss@one:1,two,[::1]:3/orders?target_session_attrs=read-write"
    assert servers_in(several) == [
        {"host": "one", "port": 1},
        {"host": "two", "port": 5432},
        {"host": "::1", "port": 3},
    ]
    assert servers_in("postgresql://u:p@one:1/orders") == []
    assert servers_in("postgresql:///orders?host=/tmp") == []


async def has_answered(connections: pool.Pool) -> bool:
    try:
        return bool(await connections.fetchval("SELECT 1") == 1)
    except (OSError, TimeoutError):
        return False


async def _told_to_read_only(server: EmbeddedPostgres, on: bool) -> None:
    admin = await asyncpg.connect(server.admin_dsn())
    await admin.execute("SET default_transaction_read_only = off")
    value = "on" if on else "off"
    await admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()
