"""Build the inventory_api application from its settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from inventory_api.routes import router
from inventory_api.settings import InventorySettings
from inventory_api.state import InventoryApiState
from inventory_api.stock import Stock
from service_kit.fault_points import Injector, no_injector
from service_kit.http import application
from service_kit.http.tokens import verifier_for
from service_kit.observability.health import Health
from service_kit.postgres import database_health, pool
from service_kit.postgres.long_transactions import LongTransactions
from service_kit.postgres.migrations import latest
from service_kit.process import supervised
from service_kit.process.background import Background
from service_kit.process.supervised import Supervised

MIGRATIONS = Path(__file__).parent / "migrations"
TABLES = ("stock", "reservations", "movements")
OLDEST_TRANSACTION = "postgres:oldest_transaction"


def create_app(settings: InventorySettings, injector: Injector = no_injector) -> FastAPI:
    """Return the application; nothing is connected until it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        connections = await pool.create(
            settings.database_url.get_secret_value(),
            name="inventory_api",
            size=settings.pool_size,
            lock_timeout_s=settings.lock_timeout_s,
            statement_timeout_s=settings.statement_timeout_s,
        )
        long_transactions = LongTransactions(connections)
        reading = Supervised("long transactions", long_transactions.keep_reading)
        async with injector(connections) as faults, Background(reading.run()):
            app.state.service = InventoryApiState(
                pool=connections,
                stock=Stock(
                    connections,
                    faults,
                    deadline_s=settings.request_deadline_s,
                    writers=settings.group_writers,
                ),
                verifier=verifier_for(settings),
                faults=faults,
                health=_health(connections, long_transactions, reading),
            )
            yield
        connections.terminate()

    app = application.create("Valerix inventory", lifespan, lambda: app.state.service.health)
    app.include_router(router)
    return app


def _health(
    connections: pool.Pool, long_transactions: LongTransactions, reading: Supervised
) -> Health:
    database = database_health.probes(connections, TABLES, latest(MIGRATIONS))
    others = {OLDEST_TRANSACTION: long_transactions.probe, **supervised.probes(reading)}
    return Health(
        "inventory_api",
        application.own_version(),
        {**database, **others},
        needed=frozenset(database),
        optional=frozenset(others),
    )
