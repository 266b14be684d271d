"""A client of the real pages without a browser, in front of real services."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from nicegui import core, ui
from nicegui.functions.download import download
from nicegui.functions.navigate import Navigate
from nicegui.functions.notify import notify
from nicegui.storage import Storage
from nicegui.testing import User
from nicegui.testing.general import nicegui_reset_globals

from service_kit.process.background import Background
from tests.support.serving import TOKEN_KEY, Served
from ui.backend import Backend
from ui.main import register
from ui.settings import UiSettings

PATIENCE = 300  # tenths of a second that something may take to show


def ui_settings(orders: Served, inventory: Served, folder: Path, **changes: Any) -> UiSettings:
    """Return the settings of a UI in front of these services."""
    return UiSettings(
        token_key=TOKEN_KEY,
        order_api_url=orders.url,
        inventory_api_url=inventory.url,
        storage=folder,
        **changes,
    )


class UiClient(User):
    """A simulated user who waits for what takes a moment."""

    async def sees(self, *contents: str) -> None:
        """Fail unless all of this shows on the page soon."""
        for content in contents:
            await self.should_see(content=content, retries=PATIENCE)

    async def sees_no(self, *contents: str) -> None:
        """Fail unless none of this is on the page soon."""
        for content in contents:
            await self.should_not_see(content=content, retries=PATIENCE)

    async def clicks(self, marker: str, times: int = 1) -> None:
        """Click what is marked so, as soon as it is there, perhaps more than once."""
        await self.should_see(marker=marker, retries=PATIENCE)
        found = self.find(marker=marker)
        for _ in range(times):
            found.click()

    def presses(self, label: str) -> None:
        """Click the button with this spoken label."""
        assert self.client is not None
        with self.client:
            found = [
                button
                for button in self.find(ui.button).elements
                if label in (button.props.get("aria-label") or "", button.text)
            ]
        assert len(found) == 1, f"{len(found)} buttons {label!r}"
        from nicegui.testing.user_interaction import UserInteraction

        UserInteraction(self, set(found), None).click()


@asynccontextmanager
async def ui_client(settings: UiSettings) -> AsyncIterator[UiClient]:
    """Open the UI with these settings, and bring somebody who looks at it."""
    before = Storage.path
    with nicegui_reset_globals():
        os.environ["NICEGUI_USER_SIMULATION"] = "true"
        Storage.path = settings.storage
        backend = Backend(settings)
        try:
            register(backend)
            ui.run(storage_secret="simulated", reload=False, show=False)
            await backend.open()
            async with (
                core.app.router.lifespan_context(core.app),
                Background(*(task.run() for task in backend.tasks)),
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(core.app), base_url="http://test"
                ) as client,
            ):
                yield UiClient(client)
        finally:
            await backend.close()
            os.environ.pop("NICEGUI_USER_SIMULATION", None)
            Storage.path = before
            ui.navigate = Navigate()
            ui.notify = notify
            ui.download = download
