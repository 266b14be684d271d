"""A price that changes between page and click is shown again before it is paid."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from nicegui import ui

from deploy.local.postgres.connection import connected
from tests.support.ui_client import UiClient


@pytest.fixture
async def prices(orders_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    async with connected(orders_dsn) as connection:
        yield connection
        await connection.execute(
            "UPDATE products SET unit_price_minor = 1490, currency = 'EUR', sku = 'MUG-BLUE' "
            "WHERE sku IN ('MUG-BLUE', 'MUG-AWAY')"
        )


@pytest.mark.parametrize(
    ("minor", "before", "after"), [(1590, "€29.80", "€31.80"), (990, "€29.80", "€19.80")]
)
async def test_a_new_price_is_shown_before_it_is_paid(
    alice: UiClient,
    prices: "asyncpg.Connection[asyncpg.Record]",
    minor: int,
    before: str,
    after: str,
) -> None:
    orders = await prices.fetchval("SELECT count(*) FROM orders")
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    await alice.sees("1 piece")
    alice.presses("One Blue mug more")
    await alice.sees(before)
    await prices.execute("UPDATE products SET unit_price_minor = $1 WHERE sku = 'MUG-BLUE'", minor)
    await alice.clicks("buy")
    await alice.sees(f"The price is {after} now", f"It was {before}", "Nothing was ordered")
    assert await prices.fetchval("SELECT count(*) FROM orders") == orders
    await alice.clicks("buy")
    await alice.sees("Your order is on its way.")
    newest = "SELECT total_minor, idempotency_key FROM orders ORDER BY created_at DESC LIMIT 1"
    row = await prices.fetchrow(newest)
    assert row is not None
    assert row["total_minor"] == 2 * minor
    assert row["idempotency_key"] == "cart-1"
    assert await prices.fetchval("SELECT count(*) FROM orders") == orders + 1


async def test_the_same_number_in_another_currency_is_shown_before_it_is_paid(
    alice: UiClient, prices: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    await alice.sees("1 piece")
    await prices.execute("UPDATE products SET currency = 'KWD' WHERE sku = 'MUG-BLUE'")
    await alice.clicks("buy")
    await alice.sees("The price is KWD\N{NO-BREAK SPACE}1.490 now", "It was €14.90")
    await alice.clicks("buy")
    await alice.sees("Your order is on its way.")
    newest = "SELECT currency FROM orders ORDER BY created_at DESC LIMIT 1"
    assert await prices.fetchval(newest) == "KWD"


async def test_a_cart_at_a_new_price_can_still_be_changed(
    alice: UiClient, prices: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    await prices.execute("UPDATE products SET unit_price_minor = 1590 WHERE sku = 'MUG-BLUE'")
    await alice.clicks("buy")
    await alice.sees("The price is €15.90 now")
    alice.presses("One Blue mug more")
    await alice.sees("€31.80")
    await alice.clicks("buy")
    await alice.sees("Your order is on its way.")


def may_be_bought(alice: UiClient) -> bool:
    assert alice.client is not None
    with alice.client:
        [enabled] = {
            button.enabled
            for button in alice.find(kind=ui.button).elements
            if button.text == "Buy now"
        }
        return bool(enabled)


async def test_what_has_no_known_price_is_not_bought(
    alice: UiClient, prices: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    orders = await prices.fetchval("SELECT count(*) FROM orders")
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    await alice.sees("1 piece")
    await prices.execute("UPDATE products SET sku = 'MUG-AWAY' WHERE sku = 'MUG-BLUE'")
    await alice.open("/")
    await alice.sees("Not on sale now: MUG-BLUE")
    assert not may_be_bought(alice)
    await prices.execute(
        "UPDATE products SET sku = 'MUG-BLUE', unit_price_minor = 999900 WHERE sku = 'MUG-AWAY'"
    )
    await alice.clicks("buy")
    assert await prices.fetchval("SELECT count(*) FROM orders") == orders
    await alice.open("/")
    await alice.sees("€9,999.00")
    assert may_be_bought(alice)
    await alice.clicks("buy")
    await alice.sees("Your order is on its way.")


async def test_a_cart_in_two_currencies_is_not_bought_before_it_is_one(
    alice: UiClient, prices: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await prices.execute("UPDATE products SET currency = 'JPY' WHERE sku = 'MUG-BLUE'")
    await alice.open("/")
    alice.presses("Add Blue mug to the cart")
    await alice.sees("¥1,490", "1 piece")
    assert may_be_bought(alice)
    alice.presses("Add Sand mug to the cart")
    await alice.sees("These prices do not add up")
    assert not may_be_bought(alice)
    alice.presses("One Blue mug less")
    await alice.sees_no("These prices do not add up")
    assert may_be_bought(alice)
