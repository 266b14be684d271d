"""A platform under a mixed load is restored with its databases apart, and Temporal empty."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backup.reconcile.contracts import Rule, Site
from backup.reconcile.run import reconcile
from deploy.local.postgres.connection import connected
from deploy.local.temporal.server import EmbeddedTemporal
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import OrderStack, Shopper, eventually
from tests.support.serving import PATIENT, serve_inventory, serve_orders, serve_worker, token
from tests.support.trail.agreement import contents, observe, wrong
from tests.support.trail.copies import Copy, restored, take_copy

OPEN_ORDERS = "SELECT count(*) FROM orders WHERE status IN ('received', 'reserved')"
LOST = """
SELECT order_id FROM reservations WHERE state = 'committed' AND order_id <> ALL ($1::uuid[])
"""
MOMENTS = ("early", "amid", "late")


@dataclass
class Copies:
    """Both databases as of each moment of the load, by the moment's name."""

    orders: dict[str, Copy] = field(default_factory=dict)
    inventory: dict[str, Copy] = field(default_factory=dict)

    async def take(self, moment: str, stack: OrderStack) -> None:
        self.orders[moment] = await take_copy(stack.orders_dsn, "orders")
        self.inventory[moment] = await take_copy(stack.inventory_dsn, "inventory")


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


@contextmanager
def empty_temporal(loop_thread: EventLoopThread, folder: Path) -> Iterator[EmbeddedTemporal]:
    server = EmbeddedTemporal(folder, synchronous="NORMAL")
    with loop_thread.entered(server) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", running.address)
        yield running


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
    with ExitStack() as stack:
        orders_dsn = stack.enter_context(
            restored(loop_thread, databases, "orders", copies.orders[orders_at])
        )
        inventory_dsn = stack.enter_context(
            restored(loop_thread, databases, "inventory", copies.inventory[inventory_at])
        )
        warehouse = stack.enter_context(serve_inventory(inventory_dsn, **PATIENT))
        site = Site(
            orders_dsn, inventory_dsn, warehouse.url, token("service", "reconcile"), grace_s=0.0
        )
        report = await reconcile(site, dry_run=False, progress=lambda _: None)
        assert report.violations == ()
        assert {each.order_id for each in report.for_people} == await _lost(
            orders_dsn, inventory_dsn
        )
        assert {each.rule for each in report.for_people} <= {Rule.COMMITTED_UNORDERED}

        stack.enter_context(empty_temporal(loop_thread, tmp_path))
        stack.enter_context(serve_orders(orders_dsn, warehouse.url))
        stack.enter_context(serve_worker(orders_dsn, warehouse.url))
        await eventually(_all_ended(orders_dsn), 60.0)
        observed = await observe(databases, orders_dsn, inventory_dsn)
        assert wrong(observed, {each.order_id for each in report.for_people}) == []
        before = await contents(orders_dsn, inventory_dsn)
        again = await reconcile(site, dry_run=False, progress=lambda _: None)
        assert (again.repaired, again.violations) == ({}, ())
        assert again.for_people == report.for_people
        assert await contents(orders_dsn, inventory_dsn) == before


async def _lost(orders_dsn: str, inventory_dsn: str) -> set[object]:
    async with connected(orders_dsn) as orders, connected(inventory_dsn) as inventory:
        known = [row["order_id"] for row in await orders.fetch("SELECT order_id FROM orders")]
        return {row["order_id"] for row in await inventory.fetch(LOST, known)}


def _all_ended(orders_dsn: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        async with connected(orders_dsn) as connection:
            return not await connection.fetchval(OPEN_ORDERS)

    return look
