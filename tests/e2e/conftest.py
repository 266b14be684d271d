"""One whole stack for all tests of this folder: real processes, real databases, free ports."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack
from tests.conftest import FIGURES
from tests.support.system_under_test import Shop


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e") / "home"


# Of the package: it must not go on beside tests of other folders.
@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shop(home: Path, pytestconfig: pytest.Config) -> AsyncIterator[Shop]:
    async with (
        Stack(StackSettings(home=home, ports=Ports.free())) as stack,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        shop = Shop(stack, session, pytestconfig.stash[FIGURES])
        await shop.list_products()
        async with shop.stalls:
            yield shop
