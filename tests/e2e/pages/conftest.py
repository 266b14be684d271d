"""The whole stack with its pages, and people with real browsers in front of it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack
from tests.support import chromium
from tests.support.browser_users import People


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    try:
        async with chromium.launched() as found:
            yield found
    except chromium.NoChromium as reason:
        pytest.skip(str(reason))


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("pages")
    settings = StackSettings(home=folder / "home", ports=Ports.free())
    settings = settings.with_env("ui", UI_REPORTS=str(folder / "reports"))
    async with Stack(settings) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def people(stack: Stack, browser: Browser) -> AsyncIterator[People]:
    yield People(browser, stack.url("ui"))
