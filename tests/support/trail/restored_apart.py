"""Two databases of one platform that come back as of different moments, and are reconciled."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backup.reconcile.contracts import ReconcileReport, Rule, Site
from backup.reconcile.run import reconcile
from deploy.local.postgres.connection import connected
from deploy.local.temporal.server import EmbeddedTemporal
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import OrderStack, eventually
from tests.support.serving import PATIENT, serve_inventory, serve_orders, serve_worker, token
from tests.support.trail.agreement import contents, observe, wrong
from tests.support.trail.copies import Copy, restored, take_copy

OPEN_ORDERS = "SELECT count(*) FROM orders WHERE status IN ('received', 'reserved')"
LOST = """
SELECT order_id FROM reservations WHERE state = 'committed' AND order_id <> ALL ($1::uuid[])
"""


@dataclass
class Copies:
    """Both databases as of each moment of the load, by the moment's name."""

    orders: dict[str, Copy] = field(default_factory=dict)
    inventory: dict[str, Copy] = field(default_factory=dict)

    async def take(self, moment: str, stack: OrderStack) -> None:
        self.orders[moment] = await take_copy(stack.orders_dsn, "orders")
        self.inventory[moment] = await take_copy(stack.inventory_dsn, "inventory")


@contextmanager
def empty_temporal(loop_thread: EventLoopThread, folder: Path) -> Iterator[EmbeddedTemporal]:
    server = EmbeddedTemporal(folder, synchronous="NORMAL")
    with loop_thread.entered(server) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", running.address)
        yield running


async def agree_after_one_run(
    orders: Copy,
    inventory: Copy,
    loop_thread: EventLoopThread,
    databases: Databases,
    folder: Path,
    *,
    within_s: float = 60.0,
) -> ReconcileReport:
    """Restore both, reconcile beside an empty Temporal, and check all that is promised of it.

    Nothing is violated after one run, what nobody ordered and has left is listed for people, open
    orders end `within_s`, and a second run changes nothing.
    """
    with ExitStack() as stack:
        orders_dsn = stack.enter_context(restored(loop_thread, databases, "orders", orders))
        inventory_dsn = stack.enter_context(
            restored(loop_thread, databases, "inventory", inventory)
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

        stack.enter_context(empty_temporal(loop_thread, folder))
        stack.enter_context(serve_orders(orders_dsn, warehouse.url))
        stack.enter_context(serve_worker(orders_dsn, warehouse.url))
        await eventually(_all_ended(orders_dsn), within_s)
        observed = await observe(databases, orders_dsn, inventory_dsn)
        assert wrong(observed, {each.order_id for each in report.for_people}) == []
        before = await contents(orders_dsn, inventory_dsn)
        again = await reconcile(site, dry_run=False, progress=lambda _: None)
        assert (again.repaired, again.violations) == ({}, ())
        assert again.for_people == report.for_people
        assert await contents(orders_dsn, inventory_dsn) == before

    return report


async def _lost(orders_dsn: str, inventory_dsn: str) -> set[object]:
    async with connected(orders_dsn) as orders, connected(inventory_dsn) as inventory:
        known = [row["order_id"] for row in await orders.fetch("SELECT order_id FROM orders")]
        return {row["order_id"] for row in await inventory.fetch(LOST, known)}


def _all_ended(orders_dsn: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        async with connected(orders_dsn) as connection:
            return not await connection.fetchval(OPEN_ORDERS)

    return look
