"""A platform under a mixed load is restored with its databases apart, and Temporal empty."""

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import OrderStack, Shopper
from tests.support.trail.restored_apart import Copies, agree_after_one_run

MOMENTS = ("early", "amid", "late")


@pytest.fixture(scope="module")
def copies(order_stack: OrderStack) -> Copies:
    """Copies of a platform that ships, refuses, waits and cancels."""
    with EventLoopThread() as own_loop:  # that of the stack is needed to serve it
        return own_loop.run(_copies(order_stack))


async def _copies(stack: OrderStack) -> Copies:
    found = Copies()
    async with Shopper(stack.orders) as shopper:
        with stack.working():
            await _ordinary_orders(shopper)
            await found.take("early", stack)
            await _ordinary_orders(shopper)
            with stack.shut(stack.to_inventory):
                placed = await asyncio.gather(
                    *(shopper.place_stubbornly(quantity=2) for _ in range(6))
                )
                waiting = [answer.json()["order_id"] for answer in placed]
                await asyncio.gather(*map(shopper.cancel, waiting[::2]))
                await found.take("amid", stack)
            for order_id in waiting:
                await shopper.until_settled(order_id)
            await _ordinary_orders(shopper)
            await found.take("late", stack)
    return found


async def _ordinary_orders(shopper: Shopper) -> None:
    """Place some that ship, one that takes a scarce SKU, and one for more than there is of it."""
    for sku, quantity in (("MUG-BLUE", 1), ("TEE-BASIC", 3), ("LAST-ONE", 7), ("LAST-ONE", 49)):
        answer = await shopper.place_stubbornly(sku, quantity)
        await shopper.until_settled(answer.json()["order_id"])


@pytest.mark.parametrize(
    ("orders_at", "inventory_at"),
    [(one, other) for one, other in itertools.product(MOMENTS, MOMENTS) if one != other],
)
async def test_databases_that_come_back_apart_agree_after_one_run(
    copies: Copies,
    loop_thread: EventLoopThread,
    databases: Databases,
    tmp_path: Path,
    orders_at: str,
    inventory_at: str,
) -> None:
    await agree_after_one_run(
        copies.orders[orders_at], copies.inventory[inventory_at], loop_thread, databases, tmp_path
    )
