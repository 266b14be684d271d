"""Inventory is restored from an older backup than the orders: the runbook's way out of it."""

import json
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from deploy.local.postgres.connection import connected
from order_api.contracts import order_id_for
from tests.support.asking_again import kept
from tests.support.databases import Databases
from tests.support.order_stack import OrderStack, Shopper, eventually
from tests.support.serving import bearer

# As of the first delivery. Superusers may; triggers refuse it to everybody else.
OLDER = """
SET session_replication_role = replica;
DELETE FROM movements WHERE operation <> 'initial';
DELETE FROM reservations;
UPDATE stock s SET reserved = 0,
    on_hand = (SELECT quantity FROM movements m WHERE m.sku = s.sku);
"""
# The statement of the runbook.
NOT_FORGOTTEN = """
SELECT order_id, status, jsonb_build_object('lines', jsonb_agg(
           jsonb_build_object('sku', sku, 'quantity', quantity))) AS lines
FROM orders JOIN order_lines USING (order_id)
WHERE status IN ('reserved', 'shipped') AND updated_at > now() - interval '1 hour'
GROUP BY 1
"""
LOCK = "SELECT FROM reservations WHERE order_id = $1 FOR UPDATE"


@pytest.fixture
def order_stack(fresh_order_stack: OrderStack) -> OrderStack:
    """Alone for each test, which restores a backup of all of it."""
    return fresh_order_stack


async def restore_older_inventory(databases: Databases, dsn: str) -> None:
    name = urlsplit(dsn).path.removeprefix("/")
    async with connected(databases.postgres.admin_dsn(name)) as connection:
        await connection.execute(OLDER)


async def said(warehouse: httpx.AsyncClient, method: str, address: str, body: Any = None) -> None:
    """Say it until it was heard: a warehouse on a busy machine may be busy, too."""

    answer = await kept(lambda: warehouse.request(method, address, json=body))
    assert answer.status_code == 200, answer.text


async def say_again_what_was_said(stack: OrderStack) -> None:
    async with httpx.AsyncClient(headers=bearer("service"), timeout=30) as warehouse:
        for row in await stack.rows(NOT_FORGOTTEN):
            address = f"{stack.inventory.url}/v1/reservations/{row['order_id']}"
            await said(warehouse, "PUT", address, json.loads(row["lines"]))
            if row["status"] == "shipped":
                await said(warehouse, "POST", f"{address}/commit")


async def one_that_is_reserved(stack: OrderStack, shopper: Shopper) -> uuid.UUID:
    """Return an order that is held and not shipped; the worker that was to ship it is gone."""
    order_id = order_id_for(shopper.name, "held")
    lines = {"lines": [{"sku": "MUG-BLUE", "quantity": 1}]}
    async with httpx.AsyncClient(headers=bearer("service"), timeout=30) as warehouse:
        await said(warehouse, "PUT", f"{stack.inventory.url}/v1/reservations/{order_id}", lines)

    async def is_reserved() -> bool:
        query = "SELECT FROM orders WHERE order_id = $1 AND status = 'reserved'"
        return bool(await stack.rows(query, order_id))

    async with connected(stack.inventory_dsn) as connection, connection.transaction():
        # a commit needs this row, a copy of the reserve does not
        await connection.execute(LOCK, order_id)
        with stack.working():
            await shopper.place_stubbornly(key="held")
            await eventually(is_reserved)
    return order_id


async def test_an_older_inventory_agrees_again_after_orders_were_said_again(
    order_stack: OrderStack, shopper: Shopper, databases: Databases
) -> None:
    with order_stack.working():
        for _ in range(3):
            await shopper.shipped()
    held = await one_that_is_reserved(order_stack, shopper)
    await restore_older_inventory(databases, order_stack.inventory_dsn)
    with pytest.raises(AssertionError):
        await order_stack.assert_ledger_agrees()
    for _ in range(2):  # once too often does no harm
        await say_again_what_was_said(order_stack)
    with order_stack.working():
        assert (await shopper.until_settled(str(held)))["status"] == "shipped"
    await order_stack.assert_ledger_agrees()
