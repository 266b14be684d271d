"""What the tests of backups share: the stand-in, claims and a trail, anew for each test."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.databases import Databases
from tests.support.trail.claims_site import ClaimsSite, claims_site
from tests.support.trail.legacy import LegacyStandIn, serve_legacy
from tests.support.trail.restorable import Backups, backed_up_and_killed


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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Backups:
    """Backups that all tests of a module copy."""
    return asyncio.run(backed_up_and_killed(tmp_path_factory.mktemp("killed")))


@pytest.fixture
def backups(made: Backups, tmp_path: Path) -> Backups:
    return made.copied(tmp_path / "trail")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
