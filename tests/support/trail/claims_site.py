"""One call's surroundings: the stand-in, claims in a database and a folder, what befalls them."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg

from backup.legacy.call import LegacyCall
from backup.legacy.calls import LegacyCalls
from backup.legacy.claim_folder import ClaimFolder
from backup.legacy.client import LegacyApi
from deploy.local.postgres.connection import connected
from service_kit.postgres import pool
from service_kit.postgres.pool import Connection, Pool
from tests.support.databases import Databases, name_in
from tests.support.trail.legacy import DAY, LegacyStandIn, stands_still


class RestorableCalls(LegacyCalls):
    """The claims in a database that a test puts back, which begins a new timeline."""

    timeline = 1

    async def lineage(self, connection: Connection) -> str:
        return f"{await super().lineage(connection)}+{self.timeline}"


@dataclass
class ClaimsSite:
    """The real parts; `capsules` and `claims` are folders, `admin_dsn` may do what we must not."""

    legacy: LegacyStandIn
    admin_dsn: str
    pool: Pool
    folder: Path
    calls: RestorableCalls = field(init=False)

    def __post_init__(self) -> None:
        self.calls = RestorableCalls(self.pool, deadline_s=60.0)

    @property
    def claims(self) -> Path:
        return self.folder / "claims"

    def call(self, api: LegacyApi | None = None, **settings: Any) -> LegacyCall:
        """Return what a scheduler of its own would have."""
        api = api or self.legacy.client(self.claims, **settings)
        return LegacyCall(api, self.calls, ClaimFolder(self.claims), elapsed=stands_still)

    async def put_database_back(self, before: date = DAY, *, same_lineage: bool = False) -> None:
        """Restore the database to a moment before the claim of a date."""
        await put_back(self.admin_dsn, before)
        self.calls.timeline += not same_lineage

    def lose_folder(self) -> None:
        shutil.rmtree(self.claims)

    def files(self) -> set[str]:
        return {each.name for each in self.claims.iterdir()} if self.claims.exists() else set()

    async def state(self, day: date = DAY) -> str | None:
        found = await self.calls.state_of(day)
        return None if found is None else found[1]


async def put_back(admin_dsn: str, before: date) -> None:
    """Take rows away as a restore does, which asks no trigger."""
    async with connected(admin_dsn) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("DELETE FROM legacy_calls WHERE day >= $1", before)


@asynccontextmanager
async def claims_site(
    databases: Databases, dsn: str, legacy: LegacyStandIn, folder: Path
) -> AsyncIterator[ClaimsSite]:
    """Give the surroundings, on the database at `dsn`."""
    connections = await open_pool(dsn)
    try:
        yield ClaimsSite(legacy, databases.postgres.admin_dsn(name_in(dsn)), connections, folder)
    finally:
        connections.terminate()


async def open_pool(dsn: str) -> Pool:
    """Return connections as a backup's worker has them."""
    return await pool.create(
        dsn, name="backup", size=6, lock_timeout_s=30.0, statement_timeout_s=60.0
    )


async def refused_by_the_database(dsn: str, statement: str) -> bool:
    """Tell whether the database itself refuses `statement`."""
    async with connected(dsn) as connection:
        try:
            await connection.execute(statement)
        except asyncpg.RestrictViolationError:
            return True
    return False
