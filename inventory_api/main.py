"""Build the inventory_api application from its settings."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
from fastapi import FastAPI

from inventory_api.reservations import Reservations
from inventory_api.routes import router
from inventory_api.settings import InventorySettings
from inventory_api.state import InventoryApiState
from inventory_api.stock import Stock
from service_kit.http import application
from service_kit.http.tokens import verifier_for
from service_kit.observability.health import Health
from service_kit.postgres import database_health, pool
from service_kit.postgres.long_transactions import LongTransactions
from service_kit.postgres.migrations import latest
from service_kit.postgres.pool import Pool
from service_kit.process import supervised
from service_kit.process.background import Background
from service_kit.process.supervised import Supervised

MIGRATIONS = Path(__file__).parent / "migrations"
TABLES = ("stock", "reservations", "movements")
OLDEST_TRANSACTION = "postgres:oldest_transaction"


class Parts:
    """Makes what the application stands on; fault runs have parts of their own (`chaos`)."""

    def pool(self, settings: InventorySettings) -> AbstractAsyncContextManager[Pool]:
        """Give the connections to the database."""
        return pool.opened(
            pool.create(
                settings.database_url.get_secret_value(),
                name="inventory_api",
                size=settings.pool_size,
                lock_timeout_s=settings.lock_timeout_s,
                statement_timeout_s=settings.statement_timeout_s,
                extended=self.extended,
            )
        )

    def extended(self, connection_class: type[asyncpg.Connection]) -> type[asyncpg.Connection]:
        """Return what connections are made of: the class that is usual, or more than that."""
        return connection_class

    def stock(self, settings: InventorySettings, connections: Pool) -> Stock:
        """Return the shelf and the ledger."""
        return Stock(
            connections, deadline_s=settings.request_deadline_s, writers=settings.group_writers
        )

    def reservations(self, stock: Stock) -> Reservations:
        """Return what the saga's calls are handed to."""
        return stock


def create_app(settings: InventorySettings, parts: Parts | None = None) -> FastAPI:
    """Return the application; nothing is connected until it starts."""
    parts = parts or Parts()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with parts.pool(settings) as connections:
            long_transactions = LongTransactions(connections)
            reading = Supervised("long transactions", long_transactions.keep_reading)
            stock = parts.stock(settings, connections)
            async with Background(reading.run()):
                app.state.service = InventoryApiState(
                    pool=connections,
                    stock=stock,
                    reservations=parts.reservations(stock),
                    verifier=verifier_for(settings),
                    health=_health(connections, long_transactions, reading),
                )
                yield

    app = application.create("Valerix inventory", lifespan, lambda: app.state.service.health)
    app.include_router(router)
    return app


def _health(connections: Pool, long_transactions: LongTransactions, reading: Supervised) -> Health:
    database = database_health.probes(connections, TABLES, latest(MIGRATIONS))
    others = {OLDEST_TRANSACTION: long_transactions.probe, **supervised.probes(reading)}
    return Health(
        "inventory_api",
        application.own_version(),
        {**database, **others},
        needed=frozenset(database),
        optional=frozenset(others),
    )
