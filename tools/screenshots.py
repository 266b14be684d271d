"""Take the README's pictures of every page: light and dark, desktop and phone, from a real run.

`make screenshots` starts a stack of its own, has somebody shop, turns the gremlin on and off, and
writes into docs/images.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from deploy.local.settings import Ports, StackSettings
from deploy.local.stack import Stack
from tests.support import chromium

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
STUBBORN = "Stubborn gremlin: the second try is late, too"


async def main() -> None:
    """Take all of them."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = StackSettings(home=Path(folder) / "home", ports=Ports.free())
        async with Stack(settings) as stack, chromium.launched() as browser:
            url = stack.url("ui")
            for size in SIZES:
                for scheme in ("light", "dark"):
                    await tour(browser, url, size, scheme)
            await attack(browser, url)


async def tour(browser: Browser, url: str, size: str, scheme: str) -> None:
    """Go through the pages as one person with one device."""
    page = await opened(browser, url, size, scheme)
    await page.get_by_role("button", name="Add Blue mug to the cart").click()
    await page.get_by_role("button", name="Add City poster to the cart").click()
    await expect(page.locator("#cart .cart-line")).to_have_count(2)
    await shot(page, f"shop-{scheme}-{size}")
    await page.locator("#cart").get_by_role("button", name="Buy now").click()
    await page.wait_for_url("**/orders/*")
    await expect(page.locator("ol.timeline li")).to_have_count(4)
    await shot(page, f"order-{scheme}-{size}")
    await page.goto(f"{url}/orders")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await shot(page, f"orders-{scheme}-{size}")
    await page.get_by_role("button", name="act as staff").click()
    await page.wait_for_url("**/ops")
    await expect(page.get_by_role("switch").first).to_be_visible()
    await shot(page, f"operations-{scheme}-{size}")
    await page.goto(f"{url}/warehouse")
    await expect(page.get_by_role("heading", name="Movements")).to_be_visible()
    await shot(page, f"warehouse-{scheme}-{size}")
    await page.context.close()


async def attack(browser: Browser, url: str) -> None:
    """Have the alert turn red."""
    page = await opened(browser, url, "desktop", "light")
    await page.get_by_role("button", name="act as staff").click()
    await page.get_by_role("button", name="Start orders").click()
    await page.get_by_role("switch", name=STUBBORN).click()
    await expect(page.locator(".alert.red")).to_be_visible(timeout=60_000)
    await expect(page.locator("table[aria-label='Faults that have struck']")).to_be_visible()
    await shot(page, "operations-red")
    await page.get_by_role("switch", name=STUBBORN).click()
    await page.context.close()


async def opened(browser: Browser, url: str, size: str, scheme: str) -> Page:
    """Return the shop in a new browser profile."""
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = await context.new_page()
    page.set_default_timeout(60_000)
    await page.goto(url)
    await expect(page.get_by_text("In stock").first).to_be_visible()
    return page


async def shot(page: Page, name: str) -> None:
    """Write one picture, from the top of the page, once everything in it is there."""
    await page.evaluate("document.activeElement?.blur(); window.scrollTo(0, 0)")
    await page.evaluate("document.fonts.ready")
    await page.wait_for_load_state("networkidle")
    await page.screenshot(path=IMAGES / f"{name}.png")
    sys.stdout.write(f"docs/images/{name}.png\n")


if __name__ == "__main__":
    asyncio.run(main())
