"""People with real browsers in front of our pages."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, Locator, Page, expect

# Also what a page may take under load on a small machine.
expect.set_options(timeout=15_000)


@dataclass
class Person:
    """Somebody at a browser; `complaints` is what the browser had to say about our pages."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        """Open one of our pages."""
        await self.page.goto(f"{self.url}{path}")
        await expect(self.page.locator("h1, h2").first).to_be_visible()

    async def add(self, product: str) -> None:
        """Put one piece into the cart."""
        await self.page.get_by_role("button", name=f"Add {product} to the cart").click()
        await expect(self.page.locator("#cart").get_by_text(product)).to_be_visible()
        await expect(self.page.locator(".paybar")).to_contain_text("piece")

    @property
    def buy(self) -> Locator:
        """The button that orders the cart."""
        return self.page.locator("#cart").get_by_role("button", name="Buy now")

    async def become_staff(self) -> None:
        """Use the local stack's switch."""
        await self.page.get_by_role("button", name="act as staff").click()
        await self.page.wait_for_url("**/ops")
        await expect(self.page.get_by_role("heading", name="Operations")).to_be_visible()

    async def orders(self) -> int:
        """How many orders My orders lists."""
        await self.go("/orders")
        await expect(
            self.page.get_by_text(re.compile("Page 1|No orders yet")).first
        ).to_be_visible()
        return await self.page.locator("tbody tr").count()


class People:
    """Makes visitors, each with a browser profile of their own."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url

    @asynccontextmanager
    async def visitor(
        self, width: int = 1280, height: int = 900, *, dark: bool = False
    ) -> AsyncIterator[Person]:
        """Somebody new; the test fails if a page complained or loaded anything from elsewhere."""
        context = await self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        person = Person(await context.new_page(), self._url)
        person.page.on(
            "console",
            lambda said: person.complaints.append(said.text) if said.type == "error" else None,
        )
        person.page.on("pageerror", lambda error: person.complaints.append(str(error)))
        person.page.on("request", lambda request: self._note_foreign(person, request.url))
        try:
            yield person
        finally:
            await context.close()
        assert not person.complaints

    def _note_foreign(self, person: Person, url: str) -> None:
        if not url.startswith((self._url, self._url.replace("http", "ws"), "data:")):
            person.complaints.append(f"loaded from elsewhere: {url}")
