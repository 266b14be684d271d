"""axe-core on every page, light and dark: nothing serious, nothing critical."""

from importlib import resources
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.browser_users import People, Person

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
SERIOUS = ("serious", "critical")


async def findings(page: Page) -> list[str]:
    """What axe finds serious on the page as it is now."""
    await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate("axe.run(document)")
    assert found["passes"], "axe has looked at nothing"
    return [
        f"{page.url} {rule['id']} ({rule['impact']}): {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]


async def tour(alice: Person) -> list[str]:
    """Go through all pages, and through states that only show on the way."""
    page = alice.page
    found: list[str] = []
    await alice.go("/")
    found += await findings(page)
    await alice.add("Blue mug")
    found += await findings(page)
    await alice.buy.click()
    await page.wait_for_url("**/orders/*")
    await expect(page.get_by_text("Your order is on its way.").first).to_be_visible()
    found += await findings(page)
    for path in ("/orders", "/orders?search=nothing", "/orders/unknown", "/ops"):
        await page.goto(page.url.partition("/orders")[0] + path)
        await expect(page.locator("h1, h2").first).to_be_visible()
        found += await findings(page)
    await alice.go("/")
    await alice.become_staff()
    await expect(page.get_by_role("switch").first).to_be_visible()
    found += await findings(page)
    await alice.go("/warehouse")
    await page.get_by_role("button", name="Restock MUG-BLUE").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    found += await findings(page)
    return found


@pytest.mark.parametrize(
    ("size", "dark"),
    [
        pytest.param((1280, 900), False, id="desktop light"),
        pytest.param((390, 844), True, id="phone dark", marks=pytest.mark.full),
    ],
)
async def test_no_page_has_serious_findings(
    people: People, size: tuple[int, int], *, dark: bool
) -> None:
    async with people.visitor(*size, dark=dark) as alice:
        found = await tour(alice)
        # an order that does not exist answers 404, as it should, and the browser says so
        alice.complaints[:] = [said for said in alice.complaints if "404" not in said]
        assert not found, "\n".join(found)
