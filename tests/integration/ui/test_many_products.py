"""Eight thousand products: no page, no answer and no look at the shelves has all of them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from nicegui import core

import inventory_api.seed
from deploy.local.postgres.connection import connected
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.http_proxy import ScriptedProxy
from tests.support.serving import Served, bearer, serve_inventory, serve_orders
from tests.support.ui_client import PATIENCE, UiClient, ui_client, ui_settings

MANY = 8_000
SHOWN = 24
PAGE_BYTES = 400_000
PAGE_ELEMENTS = 1_000


async def fill(dsn: str) -> None:
    async with connected(dsn) as connection:
        await connection.execute(
            """
            INSERT INTO products (sku, name, description, unit_price_minor, currency, image_url)
            SELECT 'BULK-' || lpad(n::text, 5, '0'), 'Thing ' || n, 'One of many.', 1490,
                   CASE WHEN n = 1 THEN 'JPY' ELSE 'EUR' END, '/pictures/mug-blue.svg'
            FROM generate_series(1, $1) n
            """.replace("$1", str(MANY))
        )


@pytest.fixture(scope="module")
def served_inventory(databases: Databases, loop_thread: EventLoopThread) -> Iterator[Served]:
    with databases.fresh("inventory") as dsn:
        loop_thread.run(inventory_api.seed.seed(dsn))
        loop_thread.run(
            inventory_api.seed.seed(dsn, {f"BULK-{n:05}": n for n in range(1, MANY + 1)})
        )
        with serve_inventory(dsn) as served:
            yield served


@pytest.fixture(scope="module")
def orders_dsn(databases: Databases, loop_thread: EventLoopThread) -> Iterator[str]:
    with databases.fresh("orders") as dsn:
        loop_thread.run(fill(dsn))
        yield dsn


@pytest.fixture(scope="module")
def served_orders(orders_dsn: str, served_inventory: Served) -> Iterator[Served]:
    # nobody buys here: Temporal is not needed
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
        with serve_orders(orders_dsn, served_inventory.url) as served:
            yield served


@pytest.fixture
async def warehouse(served_inventory: Served) -> AsyncIterator[ScriptedProxy]:
    async with ScriptedProxy(served_inventory.port) as found:
        yield found


@pytest.fixture
async def alice(
    served_orders: Served, served_inventory: Served, warehouse: ScriptedProxy, tmp_path: Path
) -> AsyncIterator[UiClient]:
    settings = ui_settings(served_orders, Served(served_inventory.app, warehouse.port), tmp_path)
    async with ui_client(settings) as visitor:
        yield visitor


@pytest.mark.parametrize("path", ["products", "stock"])
async def test_lists_come_in_pages_that_follow_each_other(
    served_orders: Served, served_inventory: Served, path: str
) -> None:
    served = served_orders if path == "products" else served_inventory
    url = f"{served.url}/v1/{path}"
    async with httpx.AsyncClient(headers=bearer("service")) as client:
        first = (await client.get(url)).json()
        assert len(first["items"]) == 100
        found: list[str] = []
        cursor: str | None = None
        while True:
            params = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(url, params=params)).raise_for_status().json()
            assert len(page["items"]) <= 200
            found += [item["sku"] for item in page["items"]]
            if (cursor := page["next_cursor"]) is None:
                break
        assert found == sorted(found)
        assert len(set(found)) == len(found) == MANY + len(inventory_api.seed.FIRST_DELIVERY)


@pytest.mark.parametrize("path", ["products", "stock"])
async def test_lists_are_searched_and_asked_by_sku(
    served_orders: Served, served_inventory: Served, path: str
) -> None:
    served = served_orders if path == "products" else served_inventory
    url = f"{served.url}/v1/{path}"
    async with httpx.AsyncClient(headers=bearer("service")) as client:

        async def skus(**params: str | list[str]) -> list[str]:
            answer = (await client.get(url, params=params)).raise_for_status()
            return [item["sku"] for item in answer.json()["items"]]

        assert await skus(search="mug-b") == ["MUG-BLUE"]
        assert await skus(search="K-0799") == [f"BULK-0799{n}" for n in range(10)]
        assert await skus(search="%") == []
        assert await skus(search="_UG") == []
        assert await skus(search="\\") == []
        wanted = ["MUG-BLUE", "BULK-00007", "NO-SUCH"]
        assert await skus(sku=wanted) == ["BULK-00007", "MUG-BLUE"]
        for bad in ({"limit": "0"}, {"limit": "201"}, {"sku": "a b"}, {"search": "\x00"}):
            assert (await client.get(url, params=bad)).status_code == 422


async def test_the_shop_shows_a_page_of_them_and_asks_for_no_more(
    alice: UiClient, warehouse: ScriptedProxy
) -> None:
    await alice.open("/")
    await alice.sees("Thing 1", "¥1,490", "Page 1")
    assert alice.client is not None
    assert len(alice.client.elements) < PAGE_ELEMENTS
    answer = await alice.http_client.get("/")
    assert len(answer.content) < PAGE_BYTES
    asked = [url for url in warehouse.asked if url.path == "/v1/stock"]
    assert asked
    for url in asked:
        assert url.query.get("limit") == "1" or 1 <= len(url.query.getall("sku")) <= SHOWN
    alice.presses("More")
    await alice.sees("Page 2", "Thing 25", "Only 25 left")
    alice.presses("Back")
    await alice.sees("Page 1")


async def test_a_product_is_found_by_search_and_stays_in_the_cart(alice: UiClient) -> None:
    from nicegui import ui

    await alice.open("/")
    await alice.sees("Page 1")
    alice.find(ui.input).type("Blue mug")
    await alice.sees_no("Thing 2")
    await alice.sees("€14.90", "In stock: 100,000")
    alice.presses("Add Blue mug to the cart")
    alice.find(ui.input).clear().type("Thing 77")
    await alice.sees("Thing 7700")
    await alice.sees("1 piece", "€14.90", "Blue mug")
    await alice.open("/?search=nothing-like-it")
    await alice.sees("Nothing found", "Blue mug")


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ({f"BULK-{n:05}": 1 for n in range(101, 151)}, "One order can have 50 different products"),
        ({"BULK-00002": 99}, "A cart can have 99 pieces of a product"),
    ],
)
async def test_a_full_cart_says_why_nothing_is_added(
    alice: UiClient, lines: dict[str, int], why: str
) -> None:
    await alice.open("/?search=BULK")
    [browser] = core.app.storage._users.values()
    browser["cart"] = {"number": 1, "lines": lines}
    await alice.open("/?search=BULK")
    await alice.sees(f"{sum(lines.values())} pieces")
    alice.presses("Add Thing 2 to the cart")
    await alice.should_see(why, retries=PATIENCE)  # a notification
    assert browser["cart"]["lines"] == lines


async def test_the_warehouse_shows_a_page_of_them(
    alice: UiClient, warehouse: ScriptedProxy
) -> None:
    await alice.open("/ops")
    alice.presses("You are a shopper. Act as staff, on this local stack")
    await alice.sees("Average response time")
    await alice.open("/warehouse")
    await alice.sees("BULK-00001", "Page 1")
    assert alice.client is not None
    assert len(alice.client.elements) < PAGE_ELEMENTS
    answer = await alice.http_client.get("/warehouse")
    assert len(answer.content) < PAGE_BYTES
    for url in warehouse.asked:
        if url.path == "/v1/stock":
            assert int(url.query.get("limit", MANY)) <= 100


async def test_an_order_is_priced_without_reading_the_whole_list(
    served_orders: Served, orders_dsn: str
) -> None:
    async with httpx.AsyncClient(headers=bearer(subject="erin")) as client:
        placed = await client.post(
            f"{served_orders.url}/v1/orders",
            json={
                "lines": [{"sku": "BULK-07999", "quantity": 2}, {"sku": "MUG-BLUE", "quantity": 1}]
            },
            headers={"Idempotency-Key": "priced"},
        )
    assert placed.status_code == 202
    assert placed.json()["total_minor"] == 3 * 1490
    remembered = served_orders.app.state.service.catalogue._prices
    assert len(remembered) < 10
