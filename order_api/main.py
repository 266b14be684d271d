"""Build the order_api application from its settings."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import aiohttp
import asyncpg
from fastapi import FastAPI

from order_api.acceptance import Acceptance
from order_api.catalogue import Catalogue
from order_api.db.notifier import Notifier
from order_api.db.schema import MIGRATIONS, TABLES
from order_api.db.store import Store
from order_api.event_stream import OrderEventStream
from order_api.metrics import show_window
from order_api.missing_workflows import MissingWorkflows
from order_api.open_streams import OpenStreams
from order_api.operations import Operations
from order_api.order_requests import OrderRequests
from order_api.placement import OrderPlacement, Sagas
from order_api.rate_limit import RateLimit
from order_api.relay import Relay
from order_api.response_time import ResponseTimes
from order_api.routes import router
from order_api.settings import OrderSettings
from order_api.state import OrderApiState
from order_api.workflow_client import OrderWorkflows
from service_kit.http import application
from service_kit.http.client_session import open_session
from service_kit.http.tokens import verifier_for
from service_kit.observability.health import CheckResult, Health, Probe
from service_kit.observability.readiness import readiness_of
from service_kit.postgres import database_health, pool
from service_kit.postgres.long_transactions import LongTransactions
from service_kit.postgres.migrations import latest
from service_kit.postgres.pool import Pool
from service_kit.process import supervised
from service_kit.process.background import Background
from service_kit.process.supervised import Supervised
from service_kit.temporal import connect


class Parts:
    """Makes what the application stands on; fault runs have parts of their own (`chaos`)."""

    def pool(self, settings: OrderSettings) -> AbstractAsyncContextManager[Pool]:
        """Give the connections to the database."""
        return pool.opened(
            pool.create(
                settings.database_url.get_secret_value(),
                name="order_api",
                size=settings.pool_size,
                lock_timeout_s=settings.accept_deadline_s / 3,
                statement_timeout_s=settings.accept_deadline_s / 2,
                extended=self.extended,
            )
        )

    def extended(self, connection_class: type[asyncpg.Connection]) -> type[asyncpg.Connection]:
        """Return what connections are made of: the class that is usual, or more than that."""
        return connection_class

    def store(self, connections: Pool, notifier: Notifier) -> Store:
        """Return the orders database."""
        return Store(connections, notifier)

    def sagas(self, workflows: OrderWorkflows) -> Sagas:
        """Return what the placing and cancelling of orders is handed to."""
        return workflows


def create_app(settings: OrderSettings, parts: Parts | None = None) -> FastAPI:
    """Return the application; nothing is connected until it starts."""
    response_times = ResponseTimes(instance=f"{socket.gethostname()}:{settings.port}")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.service = await _start(settings, parts or Parts(), response_times, stack)
            yield

    app = application.create("Valerix orders", lifespan, lambda: app.state.service.health)
    app.add_middleware(OrderRequests, times=response_times)
    app.include_router(router)
    return app


async def _start(
    settings: OrderSettings, parts: Parts, response_times: ResponseTimes, stack: AsyncExitStack
) -> OrderApiState:
    connections = await stack.enter_async_context(parts.pool(settings))
    notifier = await stack.enter_async_context(Notifier(connections))
    session = await stack.enter_async_context(open_session())
    store = parts.store(connections, notifier)
    workflows = OrderWorkflows(await connect(lazy=True), settings.saga.workflow_task_s)
    relay = Relay(store, workflows)
    event_stream = OrderEventStream(settings.database_url.get_secret_value(), store)
    show_window(response_times)
    operations = Operations(store, response_times)
    long_transactions = LongTransactions(connections)
    tasks = _supervised(
        {
            "relay": relay.run,
            "missing workflows": MissingWorkflows(store, workflows, relay).run,
            "event stream": event_stream.run,
            "event stream poll": event_stream.keep_polling,
            "operations": operations.keep_reading,
            "long transactions": long_transactions.keep_reading,
        }
    )
    await stack.enter_async_context(Background(*(task.run() for task in tasks)))
    work: dict[str, Probe] = {
        "postgres:oldest_transaction": long_transactions.probe,
        "relay:set_aside": relay.set_aside.none,
        "orders:answers": response_times.failing,
        **supervised.probes(*tasks),
    }
    catalogue = Catalogue(store)
    acceptance = Acceptance(settings, store, catalogue, RateLimit(settings.rate_limit_per_minute))
    return OrderApiState(
        store=store,
        catalogue=catalogue,
        placement=OrderPlacement(settings, store, acceptance, parts.sagas(workflows), relay),
        event_stream=event_stream,
        streams=OpenStreams(settings.streams, settings.streams_per_customer),
        verifier=verifier_for(settings),
        response_times=response_times,
        operations=operations,
        health=_health(settings, connections, store, workflows, session, work),
    )


def _supervised(works: Mapping[str, Callable[[], Awaitable[None]]]) -> list[Supervised]:
    return [Supervised(name, work) for name, work in works.items()]


def _health(
    settings: OrderSettings,
    connections: Pool,
    store: Store,
    workflows: OrderWorkflows,
    session: aiohttp.ClientSession,
    work: dict[str, Probe],
) -> Health:
    async def backlog() -> CheckResult:
        due, oldest_s = await store.backlog()
        late = oldest_s > settings.relay_after_s
        return CheckResult(
            "warn" if late else "pass",
            "orders wait to be started" if late else "",
            due,
            "orders",
        )

    database = database_health.probes(connections, TABLES, latest(MIGRATIONS))
    # Without any of these, orders are still accepted durably and settled later.
    others: dict[str, Probe] = {
        "temporal:frontend": workflows.answers,
        "inventory_api:readiness": readiness_of(session, settings.inventory_url),
        "relay:backlog": backlog,
        **work,
    }
    return Health(
        "order_api",
        application.own_version(),
        {**database, **others},
        needed=frozenset(database),
        optional=frozenset(others),
    )
