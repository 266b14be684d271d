"""Build the worker application, with health page, from its settings."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from temporalio.worker import Interceptor

from activities.inventory import HttpTimeouts, InventoryActivities
from activities.orders import OrderActivities
from order_api.db.notifier import Notifier
from order_api.db.schema import MIGRATIONS, TABLES
from order_api.db.store import Store
from service_kit.http import application
from service_kit.http.client_session import open_session
from service_kit.observability.health import Health, Probe
from service_kit.observability.readiness import readiness_of
from service_kit.postgres import database_health, pool
from service_kit.postgres.migrations import latest
from service_kit.postgres.pool import Pool
from service_kit.process.background import Background
from worker.settings import WorkerSettings
from worker.temporal_worker import OrderWorker
from workflows.policies import POLICIES

LOCK_TIMEOUT_S = 0.3
STATEMENT_TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What the health routes need of the running worker."""

    health: Health


class Parts:
    """Makes what the worker stands on; fault runs have parts of their own (`chaos`)."""

    def pool(self, settings: WorkerSettings) -> AbstractAsyncContextManager[Pool]:
        """Give the connections to the orders database."""
        return pool.opened(
            pool.create(
                settings.orders_database_url.get_secret_value(),
                name="worker",
                size=settings.pool_size,
                lock_timeout_s=LOCK_TIMEOUT_S,
                statement_timeout_s=STATEMENT_TIMEOUT_S,
            )
        )

    def interceptors(self) -> Sequence[Interceptor]:
        """Return what stands around every activity."""
        return ()


def create_app(settings: WorkerSettings, parts: Parts | None = None) -> FastAPI:
    """Return an application that works on orders for as long as it runs."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.service = await _start(settings, parts or Parts(), stack)
            yield

    app = application.create("Valerix worker", lifespan, lambda: app.state.service.health)
    return app


async def _start(settings: WorkerSettings, parts: Parts, stack: AsyncExitStack) -> WorkerState:
    POLICIES.apply(settings.saga)
    connections = await stack.enter_async_context(parts.pool(settings))
    notifier = await stack.enter_async_context(Notifier(connections))
    session = await stack.enter_async_context(open_session())
    inventory = InventoryActivities(
        session,
        settings.inventory_url,
        settings.inventory_token.get_secret_value(),
        HttpTimeouts(settings.saga.fast_http_s, settings.saga.durable_http_s),
    )
    orders = OrderActivities(Store(connections, notifier))
    worker = OrderWorker(settings, inventory, orders, parts.interceptors())
    await stack.enter_async_context(Background(worker.run()))
    database = database_health.probes(connections, TABLES, latest(MIGRATIONS))
    probes: dict[str, Probe] = {
        "temporal:worker": worker.polls,
        "temporal:frontend": worker.temporal_answers,
        **database,
        "inventory_api:readiness": readiness_of(session, settings.inventory_url),
    }
    return WorkerState(
        Health(
            "worker",
            application.own_version(),
            probes,
            needed=frozenset({"temporal:worker", *database}),
            optional=frozenset({"inventory_api:readiness"}),
        )
    )
