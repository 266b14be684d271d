"""One whole stack for all tests of this folder: real processes, real databases, free ports."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack
from tests.conftest import FIGURES
from tests.support.system_under_test import SystemUnderTest


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e") / "home"


# Of the package: it must not go on beside tests of other folders.
@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def system(home: Path, pytestconfig: pytest.Config) -> AsyncIterator[SystemUnderTest]:
    async with (
        Stack(StackSettings(home=home, ports=Ports.free())) as stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        system = SystemUnderTest(stack, session, pytestconfig.stash[FIGURES])
        await system.list_products()
        async with system.stalls:
            yield system
