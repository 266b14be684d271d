"""Every page as its users see it, with real services behind it and no browser in front."""

from pathlib import Path
from typing import Any

import httpx

from tests.support.asking_again import kept
from tests.support.order_stack import eventually
from tests.support.serving import (
    Served,
    bearer,
    token,
)
from tests.support.ui_client import UiClient, ui_client, ui_settings


async def asked(method: str, url: str, **content: Any) -> httpx.Response:
    """Return the answer to a request that may be repeated."""
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await kept(lambda: client.request(method, url, **content), 60.0)
    return answer.raise_for_status()


async def has_shipped(url: str, **content: Any) -> bool:
    status: str = (await asked("GET", url, **content)).json()["status"]
    return status == "shipped"


async def buys(visitor: UiClient, product: str) -> str:
    """Buy one piece; return the address of the order's page."""
    await visitor.open("/")
    visitor.presses(f"Add {product} to the cart")
    await visitor.clicks("buy")
    await visitor.sees("Your order is on its way.")
    return visitor.back_history[-1]


async def test_the_shop_shows_products_with_price_and_availability(alice: UiClient) -> None:
    await alice.open("/")
    await alice.sees("Blue mug", "€14.90", "Only 50 left", "In stock: ", "Nothing in it yet")


async def test_a_cart_is_kept_for_the_next_visit(alice: UiClient) -> None:
    await alice.open("/")
    alice.presses("Add Desk lamp to the cart")
    alice.presses("Add Desk lamp to the cart")
    await alice.open("/")
    await alice.sees("€118.00", "2 pieces")


async def test_buying_leads_to_the_order_and_its_timeline(alice: UiClient) -> None:
    address = await buys(alice, "Blue mug")
    assert address.startswith("/orders/")
    await alice.sees("Order received", "Goods set aside", "Ready to ship", "Shipped", "Complete")
    [link] = alice.find(content="For engineers").elements
    assert "/namespaces/default/workflows/order-" in link.props["href"]
    await alice.should_not_see(marker="cancel")
    await alice.open("/")
    await alice.sees("Nothing in it yet")


async def test_clicking_twice_makes_one_order(alice: UiClient) -> None:
    await alice.open("/")
    alice.presses("Add Wool socks to the cart")
    await alice.clicks("buy", times=2)
    await alice.sees("Your order is on its way.")
    await alice.open("/orders")
    await alice.sees("SOCKS-WOOL")
    assert sum(str(item).count("SOCKS-WOOL") for item in tables(alice)) == 1


def tables(visitor: UiClient) -> list[str]:
    from nicegui import ui

    return [item.content for item in visitor.find(ui.html).elements if "<tbody>" in item.content]


async def test_what_is_sold_out_is_said_and_the_cart_stays(
    alice: UiClient, served_orders: Served, served_inventory: Served
) -> None:
    await alice.open("/")
    alice.presses("Add The last ones to the cart")
    bob = bearer(subject="bob")
    bought = await asked(
        "POST",
        f"{served_orders.url}/v1/orders",
        headers={**bob, "Idempotency-Key": "all-of-them"},
        json={"lines": [{"sku": "LAST-ONE", "quantity": 50}]},
    )
    order = f"{served_orders.url}{bought.headers['Location']}"
    await eventually(lambda: has_shipped(order, headers=bob), 60.0)
    await alice.clicks("buy")
    await alice.sees("we do not have enough of what you ordered", "See the order", "€79.00")
    await asked(
        "POST",
        f"{served_inventory.url}/v1/stock/LAST-ONE/restock",
        headers={**bearer("staff"), "Idempotency-Key": "more"},
        json={"quantity": 50},
    )
    await alice.clicks("buy")  # a new key: the sold-out order stays what it is
    await alice.sees("Your order is on its way.")


async def test_orders_are_listed_filtered_and_searched(alice: UiClient) -> None:
    from nicegui import ui

    await alice.open("/orders")
    await alice.sees("No orders yet")
    await buys(alice, "Basic tee")
    await buys(alice, "Canvas tote")
    await alice.open("/orders")
    await alice.sees("TEE-BASIC", "TOTE-CANVAS", "Page 1")
    alice.find(ui.input).type("tote")
    await alice.sees_no("TEE-BASIC")
    await alice.sees("TOTE-CANVAS")
    await alice.open("/orders?status=cancelled")
    await alice.sees("Nothing found")


async def test_pages_of_orders_follow_each_other(alice: UiClient, served_orders: Served) -> None:
    await alice.open("/")
    customer = next(iter(_browsers()))["customer"]
    for n in range(17):
        await asked(
            "POST",
            f"{served_orders.url}/v1/orders",
            headers={**bearer(subject=customer), "Idempotency-Key": f"n-{n}"},
            json={"lines": [{"sku": "NOTEBOOK-A5", "quantity": n + 1}]},
        )
    await alice.open("/orders")
    await alice.sees("17 × NOTEBOOK-A5")
    await alice.should_not_see("2 × NOTEBOOK-A5</")
    alice.presses("Older")
    await alice.sees("Page 2", ">1 × NOTEBOOK-A5")
    alice.presses("Newer")
    await alice.sees("Page 1", "17 × NOTEBOOK-A5")


def _browsers() -> list[dict[str, str]]:
    from nicegui import core

    return [dict(kept) for kept in core.app.storage._users.values()]


async def test_the_order_of_somebody_else_is_not_shown(
    alice: UiClient, served_orders: Served
) -> None:
    placed = await asked(
        "POST",
        f"{served_orders.url}/v1/orders",
        headers={**bearer(subject="bob"), "Idempotency-Key": "mine"},
        json={"lines": [{"sku": "MUG-BLUE", "quantity": 1}]},
    )
    answer = await alice.http_client.get(f"/orders/{placed.json()['order_id']}")
    assert answer.status_code == 404
    assert "We do not know this order" in answer.text


async def test_staff_pages_are_for_staff(alice: UiClient) -> None:
    for path in ("/ops", "/warehouse"):
        await alice.open(path)
        await alice.sees("This page is for staff")
    alice.presses("You are a shopper. Act as staff, on this local stack")
    await alice.sees("Operations", "Average response time")


async def test_operations_shows_figures_services_and_the_alert(alice: UiClient) -> None:
    await buys(alice, "City poster")
    alice.presses("You are a shopper. Act as staff, on this local stack")
    await alice.sees("Fast enough", "limit 1 s", "95% answered within", "Relay backlog")
    await alice.sees("Orders", "Healthy", "Last updated")
    # what does not run here is said to be gone, in words
    await alice.sees("No answer", "does not answer")
    # fault injection is off
    await alice.should_not_see("Break it on purpose")


async def test_the_warehouse_shows_stock_and_ledger_and_restocks_once(
    alice: UiClient, served_inventory: Served
) -> None:
    await alice.open("/ops")
    alice.presses("You are a shopper. Act as staff, on this local stack")
    await alice.sees("Average response time")
    await alice.open("/warehouse")
    await alice.sees("KETTLE-STEEL", "50,000", "Held for an order", "Every order is settled")
    await alice.clicks("restock-KETTLE-STEEL")
    await alice.clicks("restock-now", times=2)
    await alice.sees("50,100", "Restocked")
    level = await asked(
        "GET", f"{served_inventory.url}/v1/stock/KETTLE-STEEL", headers=bearer("staff")
    )
    assert level.json()["on_hand"] == 50_100


async def test_without_its_services_the_ui_says_so_and_keeps_the_cart(
    served_orders: Served, served_inventory: Served, tmp_path: Path
) -> None:
    nobody = Served(served_orders.app, 9)
    async with ui_client(ui_settings(nobody, nobody, tmp_path)) as visitor:
        await visitor.open("/")
        await visitor.sees("Our catalogue does not answer", "Your cart is kept")
        await visitor.open("/orders")
        await visitor.sees("We cannot look them up right now")


async def test_in_production_only_a_token_makes_staff(
    served_orders: Served, served_inventory: Served, tmp_path: Path
) -> None:
    from nicegui import ui

    settings = ui_settings(served_orders, served_inventory, tmp_path, environment="production")
    async with ui_client(settings) as visitor:
        await visitor.open("/ops")
        await visitor.sees("This page is for staff", "Sign in as staff")
        assert "Act as staff" not in str([b.props for b in visitor.find(ui.button).elements])
        await visitor.open("/sign-in")
        visitor.find(ui.input).type(token("shopper"))
        visitor.presses("Sign in")
        await visitor.sees("not for staff")
        visitor.find(ui.input).type("nonsense")
        visitor.presses("Sign in")
        await visitor.sees("not valid")
        visitor.find(ui.input).type(token("staff", "otto"))
        visitor.presses("Sign in")
        await visitor.sees("Average response time")
        assert token("staff", "otto") not in str(_browsers())
