"""Fresh databases with the real schema, made in some 50 ms each from a migrated template."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

import inventory_api.main
import order_api.db.schema
import order_api.db.seed
from backup.legacy import calls
from deploy.local.postgres.connection import connected
from deploy.local.postgres.server import EmbeddedPostgres
from service_kit.postgres.migrations import migrate
from tests.support.event_loop_thread import EventLoopThread

Owner = Literal["backup", "inventory", "orders"]
_MIGRATIONS = {
    "backup": calls.MIGRATIONS,
    "inventory": inventory_api.main.MIGRATIONS,
    "orders": order_api.db.schema.MIGRATIONS,
}


def name_in(dsn: str) -> str:
    """Return the name of the database that `dsn` leads to."""
    return urlsplit(dsn).path.removeprefix("/")


class Databases:
    """Hands out databases of a running cluster and drops them afterwards."""

    def __init__(self, loop_thread: EventLoopThread, postgres: EmbeddedPostgres) -> None:
        self._loop_thread = loop_thread
        self._postgres = postgres
        self._numbers = itertools.count(1)

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The cluster, for its superuser's address."""
        return self._postgres

    def prepare(self) -> None:
        """Migrate all templates; that of orders has the demonstration catalogue in it."""
        self._loop_thread.run(self._prepare())

    @contextmanager
    def fresh(self, owner: Owner, *, migrated: bool = True) -> Iterator[str]:
        """Give the address of a database that nobody else has; `owner` is its role, too."""
        name = f"{owner}_{next(self._numbers)}"
        template = owner if migrated else "template0"
        self._loop_thread.run(
            self._sql(f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}")
        )
        try:
            yield self._postgres.dsn(name, owner)
        finally:
            self._loop_thread.run(self._sql(f"DROP DATABASE {name} WITH (FORCE)"))

    async def _prepare(self) -> None:
        for owner, folder in _MIGRATIONS.items():
            await migrate(self._postgres.dsn(owner), folder)
        await order_api.db.seed.seed(self._postgres.dsn("orders"))

    async def _sql(self, statement: str) -> None:
        async with connected(self._postgres.admin_dsn()) as connection:
            await connection.execute(statement)
