"""Real parts for tests: one Postgres for the session, fresh databases, served applications.

The function-scoped fixtures are for convenience. A module that shares one application among its
tests builds a module-scoped fixture from `databases` and the functions in `serving`.
"""

import logging
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from temporalio.client import Client

import inventory_api.seed
from deploy.local.ports import free_port
from deploy.local.postgres.server import EmbeddedPostgres
from deploy.local.temporal.server import EmbeddedTemporal
from service_kit.observability import logs
from service_kit.temporal import connect
from tests.support.both_apis import BothApis
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import OrderStack, Shopper, serve_order_stack
from tests.support.own_cluster import cluster
from tests.support.serving import (
    PATIENT,
    Served,
    serve_inventory,
    serve_orders,
    serve_worker,
)


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log as the services do: the library's own way of showing an exception takes seconds."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    logs.configure("tests", "WARNING", "json")
    root.handlers = before  # pytest's
    root.setLevel(level)


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[EventLoopThread]:
    with EventLoopThread() as running:
        yield running


@pytest.fixture(scope="session")
def databases(
    loop_thread: EventLoopThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    folder = tmp_path_factory.mktemp("postgres")
    with loop_thread.entered(EmbeddedPostgres(folder, fsync=False)) as postgres:
        found = Databases(loop_thread, postgres)
        found.prepare()
        yield found


@pytest.fixture(scope="module")
def own_cluster(
    loop_thread: EventLoopThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    """A Postgres of the module's own, which allows prepared transactions."""
    with cluster(loop_thread, tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def own_database(own_cluster: Databases) -> Iterator[str]:
    """The address of a database of orders in there."""
    with own_cluster.fresh("orders") as dsn:
        yield dsn


@pytest.fixture
def inventory_database(databases: Databases) -> Iterator[str]:
    """The address of a migrated database with empty shelves."""
    with databases.fresh("inventory") as dsn:
        yield dsn


@pytest.fixture
def orders_database(databases: Databases) -> Iterator[str]:
    """The address of a migrated database with the demonstration catalogue."""
    with databases.fresh("orders") as dsn:
        yield dsn


@pytest.fixture
def backup_database(databases: Databases) -> Iterator[str]:
    """The address of a migrated database in which no call was ever claimed."""
    with databases.fresh("backup") as dsn:
        yield dsn


@pytest.fixture
def inventory_app(loop_thread: EventLoopThread, inventory_database: str) -> Iterator[Served]:
    """inventory_api with the demonstration stock."""
    loop_thread.run(inventory_api.seed.seed(inventory_database))
    with serve_inventory(inventory_database) as served:
        yield served


@pytest.fixture(scope="module")
def temporal(
    loop_thread: EventLoopThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedTemporal]:
    """An empty Temporal server, in the environment for every client of this module.

    One for each module: workflow ids follow from customer and key, and modules reuse those.
    """
    folder = tmp_path_factory.mktemp("temporal")
    server = EmbeddedTemporal(folder, synchronous="NORMAL")
    with loop_thread.entered(server) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", running.address)
        yield running


@pytest.fixture
def order_app(
    temporal: EmbeddedTemporal, orders_database: str, inventory_app: Served
) -> Iterator[Served]:
    """order_api on a real Temporal without a worker; add `worker` to have orders settled."""
    with serve_orders(orders_database, inventory_app.url) as served:
        yield served


@pytest.fixture
def worker(
    temporal: EmbeddedTemporal, orders_database: str, inventory_app: Served
) -> Iterator[Served]:
    """The real worker, between `order_app` and `inventory_app`."""
    with serve_worker(orders_database, inventory_app.url) as served:
        yield served


@pytest.fixture
async def temporal_client(temporal: EmbeddedTemporal) -> Client:
    return await connect()


@pytest.fixture(scope="module")
def order_settings() -> dict[str, float]:
    """Settings of order_api in the order stacks; a module that wants others overrides this."""
    return {}


def _order_stack(
    temporal: EmbeddedTemporal,
    loop_thread: EventLoopThread,
    databases: Databases,
    order_settings: dict[str, float],
) -> Iterator[OrderStack]:
    """Serve the whole order path without a worker."""
    with serve_order_stack(loop_thread, databases, **order_settings) as served:
        yield served


# A module whose tests cannot share theirs overrides the first with the second.
order_stack = pytest.fixture(scope="module")(_order_stack)
fresh_order_stack = pytest.fixture(_order_stack)


@pytest.fixture(scope="module")
def working_stack(order_stack: OrderStack) -> Iterator[OrderStack]:
    """The same stack, with a worker."""
    with order_stack.working():
        yield order_stack


@pytest.fixture
async def shopper(order_stack: OrderStack) -> AsyncIterator[Shopper]:
    async with Shopper(order_stack.orders) as found:
        yield found


@pytest.fixture(scope="module")
def apis(loop_thread: EventLoopThread, databases: Databases) -> Iterator[BothApis]:
    """Both APIs; Temporal is away, which must make no difference to a refusal."""
    with (
        databases.fresh("orders") as orders_dsn,
        databases.fresh("inventory") as inventory_dsn,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
        loop_thread.run(inventory_api.seed.seed(inventory_dsn))
        with (
            serve_inventory(inventory_dsn, **PATIENT) as inventory,
            serve_orders(
                orders_dsn,
                inventory.url,
                patient=True,
                answer_budget_s=1.0,
                accept_deadline_s=0.8,
            ) as orders,
        ):
            connections = tuple(
                loop_thread.run(asyncpg.connect(dsn)) for dsn in (orders_dsn, inventory_dsn)
            )
            yield BothApis(orders, inventory, loop_thread, connections)
            for connection in connections:
                loop_thread.run(connection.close())
