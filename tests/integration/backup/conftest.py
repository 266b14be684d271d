"""What the tests of backups share: the stand-in and claims, anew for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.databases import Databases
from tests.support.trail.claims_site import ClaimsSite, claims_site
from tests.support.trail.legacy import LegacyStandIn, serve_legacy


@pytest.fixture
def databases_dsn(databases: Databases) -> str:
    """The superuser's address of a cluster that is not backed up."""
    return databases.postgres.admin_dsn()


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[LegacyStandIn]:
    with serve_legacy(tmp_path / "legacy") as served:
        yield served


@pytest.fixture
async def site(
    databases: Databases, backup_database: str, legacy: LegacyStandIn, tmp_path: Path
) -> AsyncIterator[ClaimsSite]:
    async with claims_site(databases, backup_database, legacy, tmp_path) as found:
        yield found
