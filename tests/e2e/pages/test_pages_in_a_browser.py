"""What people do in front of the whole system, in a real browser."""

import asyncio
import re

import aiohttp
import pytest
from playwright.async_api import expect

from deploy.local.services import INVENTORY, ORDER, UI
from deploy.local.stack import POSTGRES, Stack
from tests.support.browser_users import People
from tests.support.machine_time import kept_within
from tests.support.system_under_test import frozen

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The tile turns within 2 s of crossing, and the browser has to draw it.
TURNS_WITHIN_S = 2.5
SOON_MS = 30_000
HEALTH_TURNS_WITHIN_S = 2.0
LOOK_EVERY_S = 0.05
DEATH_MS = 30_000
# A window of 30 s has to drain, and the first red answers are up to 30 s old.
DRAINED_MS = 45_000


async def test_a_stranger_buys_something_and_watches_it_ship(people: People) -> None:
    async with people.visitor() as alice:
        await alice.go("/")
        await alice.add("Blue mug")
        await alice.buy.click()
        await alice.page.wait_for_url("**/orders/*")
        await expect(alice.page.get_by_text("Your order is on its way.").first).to_be_visible()
        timeline = alice.page.locator("ol.timeline li")
        await expect(timeline).to_have_count(4)
        await expect(timeline.last).to_contain_text("Shipped")
        link = alice.page.get_by_role("link", name="For engineers")
        assert re.search("/workflows/order-", await link.get_attribute("href") or "")
        await alice.go("/")
        await expect(alice.page.get_by_text("Nothing in it yet")).to_be_visible()
        assert await alice.orders() == 1


async def test_a_cart_survives_a_reload(people: People) -> None:
    async with people.visitor() as alice:
        await alice.go("/")
        await alice.add("Desk lamp")
        await alice.page.get_by_role("button", name="One Desk lamp more").click()
        await expect(alice.page.locator("#cart")).to_contain_text("€118.00")
        await alice.page.reload()
        await expect(alice.page.locator("#cart")).to_contain_text("€118.00")


async def test_a_double_click_makes_one_order(people: People) -> None:
    async with people.visitor() as alice:
        await alice.go("/")
        await alice.add("Wool socks")
        await alice.buy.dblclick()
        await alice.page.wait_for_url("**/orders/*")
        assert await alice.orders() == 1


async def test_reloading_while_an_order_is_sent_makes_one_order(
    people: People, stack: Stack
) -> None:
    async with people.visitor() as alice:
        await alice.go("/")
        await alice.add("Sand mug")
        order_desk = stack.processes["order_api"].pid
        assert order_desk is not None
        with frozen(order_desk):  # it has the order, and will answer when it thaws
            await alice.buy.click()
            await expect(alice.page.get_by_text("Sending your order")).to_be_visible()
            await alice.page.reload()
        await alice.page.wait_for_url("**/orders/*", timeout=30_000)
        await expect(alice.page.get_by_text("Your order is on its way.").first).to_be_visible(
            timeout=30_000
        )
        assert await alice.orders() == 1


async def test_an_order_desk_that_is_away_gets_one_order_when_it_is_back(
    people: People, stack: Stack
) -> None:
    async with people.visitor() as alice:
        await alice.go("/")
        await alice.add("Notebook A5")
        await stack.stop("order_api")
        await alice.buy.click()
        await expect(alice.page.get_by_text("Sending your order")).to_be_visible()
        await stack.start("order_api")
        await alice.page.wait_for_url("**/orders/*", timeout=30_000)
        assert await alice.orders() == 1


async def test_two_browsers_see_each_others_stock_and_the_last_piece_goes_once(
    people: People,
) -> None:
    async with people.visitor() as alice, people.visitor() as bob:
        for person in (alice, bob):
            await person.go("/")
            card = person.page.locator("li.product", has_text="The last ones")
            await expect(card).to_contain_text("Only 50 left")
            await person.add("The last ones")
        more = alice.page.get_by_role("button", name="One The last ones more")
        for pieces in range(2, 51):
            await more.click()
            await expect(alice.page.locator("#cart .count")).to_have_text(str(pieces))
        await alice.buy.click()
        await alice.page.wait_for_url("**/orders/*")
        # Bob touches nothing
        card = bob.page.locator("li.product", has_text="The last ones")
        await expect(card).to_contain_text("Sold out", timeout=SOON_MS)
        await bob.buy.click()
        await expect(bob.page.locator("#cart [role=status]")).to_contain_text("Sold out")
        assert await bob.orders() == 1
        await expect(bob.page.locator("tbody tr")).to_contain_text("Sold out")


async def until_the_service_says(stack: Stack, *states: str) -> None:
    """Return as soon as the average has crossed the line, by the service's own word."""
    headers = {"Authorization": f"Bearer {stack.token('watcher', 'staff')}"}
    url = f"{stack.url('order_api')}/v1/ops/response-time"
    async with (
        asyncio.timeout(DRAINED_MS / 1000),
        aiohttp.ClientSession(headers=headers) as session,
    ):
        while True:
            async with session.get(url) as answer:
                if (await answer.json())["state"] in states:
                    return
            await asyncio.sleep(LOOK_EVERY_S)


async def test_the_gremlin_turns_the_tile_red_and_it_comes_back(
    people: People, stack: Stack
) -> None:
    async with people.visitor() as otto:
        await otto.go("/")
        await otto.become_staff()
        page = otto.page
        tile = page.locator(".alert")
        await expect(tile).not_to_have_class(re.compile(r"\bred\b"), timeout=DRAINED_MS)
        gremlin = "Stubborn gremlin: the second try is late, too"
        await page.get_by_role("switch", name=gremlin, exact=True).click()
        await expect(page.get_by_text("20 of 20").first).to_be_visible()
        await page.get_by_role("button", name="Start orders").click()
        await until_the_service_says(stack, "red")
        async with kept_within(TURNS_WITHIN_S, stack, UI, ORDER):
            await expect(tile).to_have_class(re.compile(r"\bred\b"), timeout=DRAINED_MS)
        await expect(tile).to_contain_text("Too slow")
        await expect(page.locator("[role=alert]", has_text="Too slow")).to_be_attached()
        await page.get_by_role("switch", name=gremlin, exact=True).click()
        await page.get_by_role("button", name="Stop", exact=True).click()
        await until_the_service_says(stack, "green", "no_data")
        async with kept_within(TURNS_WITHIN_S, stack, UI, ORDER):
            await expect(tile).not_to_have_class(re.compile(r"\bred\b"), timeout=DRAINED_MS)
        await expect(page.locator(".figure", has_text="Unfinished orders")).to_contain_text(
            "0", timeout=DRAINED_MS
        )


async def test_the_warehouse_dies_after_its_commit_and_the_order_ships_once(
    people: People, stack: Stack
) -> None:
    async with people.visitor() as otto:
        await otto.go("/")
        await otto.become_staff()
        page = otto.page
        fault = "Warehouse dies after its commit"
        await page.get_by_role("combobox", name=f"{fault}: whom").click()
        await page.get_by_role("option", name="every order").click()
        await page.get_by_role("switch", name=fault, exact=True).click()
        await expect(page.get_by_text("Of your own next orders (20 of 20)")).to_be_visible()
        died_before = stack.state()["children"]["inventory_api"]["exits"]
        await otto.go("/")
        await otto.add("City poster")
        await otto.buy.click()
        await page.wait_for_url("**/orders/*")
        await expect(page.get_by_text("Your order is on its way.").first).to_be_visible(
            timeout=30_000
        )
        await expect(page.locator("ol.timeline")).to_contain_text(re.compile(r"attempt \d"))
        assert stack.state()["children"]["inventory_api"]["exits"] > died_before
        number = page.url.rpartition("/")[2][:8]
        await otto.go("/ops")
        await page.get_by_role("switch", name=fault, exact=True).click()
        await expect(page.get_by_text("No fault is switched on.")).to_be_visible()
        await otto.go("/warehouse")
        row = page.locator("tr", has_text=number)
        await expect(row.filter(has_text="Shipped")).to_have_count(1)
        await expect(row.filter(has_text="Held for an order")).to_have_count(1)


async def until_health_is(stack: Stack, status: int, named: str) -> None:
    """Return, in time, when inventory's health has this status and names this."""
    async with (
        kept_within(HEALTH_TURNS_WITHIN_S, stack, INVENTORY, POSTGRES),
        asyncio.timeout(30),
        aiohttp.ClientSession() as session,
    ):
        while True:
            async with session.get(f"{stack.url(INVENTORY)}/health") as answer:
                if answer.status == status and named in await answer.text():
                    return
            await asyncio.sleep(LOOK_EVERY_S)


async def test_a_missing_table_is_named_on_its_tile_and_clears(
    people: People, stack: Stack
) -> None:
    import asyncpg

    async with people.visitor() as otto:
        await otto.go("/")
        await otto.become_staff()
        tile = otto.page.locator("li.service", has_text="Warehouse")
        await expect(tile).to_contain_text("Healthy")
        connection = await asyncpg.connect(stack.postgres.dsn("inventory"))
        try:
            await connection.execute("ALTER TABLE stock RENAME TO mislaid")
            await until_health_is(stack, 503, "stock")
            async with kept_within(TURNS_WITHIN_S, stack, UI, INVENTORY):
                await expect(tile).to_contain_text("missing: stock", timeout=DRAINED_MS)
            await expect(tile).to_contain_text("Failing")
        finally:
            await connection.execute("ALTER TABLE mislaid RENAME TO stock")
            await connection.close()
        await until_health_is(stack, 200, "")
        await expect(tile).to_contain_text("Healthy", timeout=SOON_MS)


async def test_a_cancelled_order_says_so_on_its_page(people: People, stack: Stack) -> None:
    async with people.visitor() as alice:
        await alice.go("/")
        await alice.add("Basic tee")
        await stack.stop("inventory_api")
        try:
            await alice.buy.click()
            await alice.page.wait_for_url("**/orders/*")
            await expect(
                alice.page.get_by_text("The warehouse is slow to answer").first
            ).to_be_visible()
            await alice.page.get_by_role("button", name="Cancel this order").click()
            await alice.page.get_by_role("button", name="Yes, cancel it").click()
            await expect(alice.page.locator("ol.timeline")).to_contain_text(
                "Cancellation asked for"
            )
        finally:
            await stack.start("inventory_api")
        await expect(alice.page.get_by_text("Your order is cancelled").first).to_be_visible(
            timeout=30_000
        )


async def test_the_keyboard_alone_buys(people: People) -> None:
    async with people.visitor() as alice:
        await alice.go("/")
        page = alice.page
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.get_by_role("button", name="Add Canvas tote to the cart").focus()
        await page.keyboard.press("Enter")
        await expect(alice.buy).to_be_visible()
        await alice.buy.focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/orders/*")
