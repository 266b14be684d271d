"""inventory_api as two replicas on one database, shared by the tests of a module."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import httpx
import pytest

from deploy.local.postgres.connection import connected
from tests.support.databases import Databases
from tests.support.inventory_client import InventoryClient
from tests.support.ledger import broken_promises
from tests.support.serving import PATIENT, Served, bearer, serve_inventory


@pytest.fixture(scope="module")
def dsn(databases: Databases) -> Iterator[str]:
    with databases.fresh("inventory") as dsn:
        yield dsn


@pytest.fixture(scope="module")
def replicas(dsn: str) -> Iterator[tuple[Served, Served]]:
    with serve_inventory(dsn, **PATIENT) as first, serve_inventory(dsn, **PATIENT) as second:
        for served in (first, second):
            # With its first request FastAPI makes the routes ready and silences warnings meanwhile,
            # for the whole process: two that do so at once may let one through, an error here.
            answer = httpx.get(f"{served.url}/v1/stock", headers=bearer("service"), timeout=30)
            answer.raise_for_status()
        yield first, second


@pytest.fixture
async def inventory(dsn: str, replicas: tuple[Served, Served]) -> AsyncIterator[InventoryClient]:
    """Both replicas in turn; afterwards the ledger has to hold."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield InventoryClient(session, *replicas)
    async with connected(dsn) as connection:
        assert await broken_promises(connection) == {}
