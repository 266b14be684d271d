"""Temporal is newer or older than the databases: what heals by itself, and what is repaired."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

import inventory_api.seed
from backup.reconcile.contracts import ReconcileReport, Rule, Site
from backup.reconcile.run import reconcile
from deploy.local.postgres.connection import connected
from inventory_api.contracts import Line
from order_api.contracts import order_id_for
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import Shopper, eventually
from tests.support.serving import (
    PATIENT,
    Served,
    serve_inventory,
    serve_orders,
    serve_worker,
    token,
)
from tests.support.trail.agreement import contents, observe, wrong
from tests.support.trail.copies import Copy, restored, take_copy
from tests.support.trail.sagas_by_hand import by_hand
from workflows.contracts import workflow_id

LOCK = "SELECT FROM reservations WHERE order_id = $1 FOR UPDATE"


@dataclass
class Platform:
    """Both databases, and what is served on them; the worker is there when a test says so."""

    databases: Databases
    orders_dsn: str
    inventory_dsn: str
    orders: Served
    inventory: Served

    @contextmanager
    def working(self) -> Iterator[Served]:
        with serve_worker(self.orders_dsn, self.inventory.url) as worker:
            yield worker

    async def reconcile(
        self, temporal: Client, *, dry_run: bool = False, settle_within_s: float = 0.0
    ) -> ReconcileReport:
        site = Site(
            self.orders_dsn,
            self.inventory_dsn,
            self.inventory.url,
            token("service", "reconcile"),
            temporal,
            grace_s=0.0,
            settle_within_s=settle_within_s,
        )
        return await reconcile(site, dry_run=dry_run, progress=lambda _: None)

    async def assert_nothing_left(self, temporal: Client) -> None:
        assert (
            wrong(await observe(self.databases, self.orders_dsn, self.inventory_dsn), set()) == []
        )
        before = await contents(self.orders_dsn, self.inventory_dsn)
        again = await self.reconcile(temporal)
        assert (again.repaired, again.for_people, again.violations) == ({}, (), ())
        assert await contents(self.orders_dsn, self.inventory_dsn) == before


@dataclass
class Platforms:
    """Makes platforms, one after another, on the Temporal of the module."""

    loop_thread: EventLoopThread
    databases: Databases

    @contextmanager
    def first(self) -> Iterator[Platform]:
        with (
            self.databases.fresh("orders") as orders_dsn,
            self.databases.fresh("inventory") as inventory_dsn,
        ):
            self.loop_thread.run(inventory_api.seed.seed(inventory_dsn))
            with self._served(orders_dsn, inventory_dsn) as platform:
                yield platform

    @contextmanager
    def restored(self, orders: Copy, inventory: Copy) -> Iterator[Platform]:
        with (
            restored(self.loop_thread, self.databases, "orders", orders) as orders_dsn,
            restored(self.loop_thread, self.databases, "inventory", inventory) as inventory_dsn,
            self._served(orders_dsn, inventory_dsn) as platform,
        ):
            yield platform

    @contextmanager
    def _served(self, orders_dsn: str, inventory_dsn: str) -> Iterator[Platform]:
        with ExitStack() as stack:
            inventory = stack.enter_context(serve_inventory(inventory_dsn, **PATIENT))
            orders = stack.enter_context(serve_orders(orders_dsn, inventory.url))
            yield Platform(self.databases, orders_dsn, inventory_dsn, orders, inventory)


@pytest.fixture
async def platforms(
    temporal_client: Client, loop_thread: EventLoopThread, databases: Databases
) -> Platforms:
    await eventually(_nothing_at_work(temporal_client))
    return Platforms(loop_thread, databases)


async def both(platform: Platform) -> tuple[Copy, Copy]:
    orders = await take_copy(platform.orders_dsn, "orders")
    return orders, await take_copy(platform.inventory_dsn, "inventory")


async def test_a_workflow_without_its_order_is_ended_and_the_order_can_come_again(
    platforms: Platforms, temporal_client: Client
) -> None:
    with platforms.first() as before:
        async with Shopper(before.orders) as shopper:
            with before.working():
                await shopper.shipped()
            copies = await both(before)
            lost = UUID((await shopper.place_stubbornly(key="lost")).json()["order_id"])
            # while there is a relay, if the one who took the order was too slow to start it
            await eventually(_is_listed(temporal_client, lost))
    handle = temporal_client.get_workflow_handle(workflow_id(lost))
    with platforms.restored(*copies) as after:
        planned = await after.reconcile(temporal_client, dry_run=True)
        assert planned.repaired == {Rule.END_WORKFLOW: 1}
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        report = await after.reconcile(temporal_client)
        assert report.repaired == planned.repaired
        assert (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED
        async with Shopper(after.orders) as again:
            again.http.headers["Authorization"] = shopper.http.headers["Authorization"]
            with after.working():
                placed = await again.place_stubbornly(key="lost")
                assert placed.json()["order_id"] == str(lost)
                assert (await again.until_settled(str(lost)))["status"] == "shipped"
        await after.assert_nothing_left(temporal_client)


async def test_an_order_that_temporal_alone_knows_to_have_shipped_ships_in_both_databases(
    platforms: Platforms, temporal_client: Client
) -> None:
    with platforms.first() as before:
        async with Shopper(before.orders) as shopper:
            order_id = (await shopper.place_stubbornly(key="newer")).json()["order_id"]
            copies = await both(before)
            with before.working():
                assert (await shopper.until_settled(order_id))["status"] == "shipped"
    with platforms.restored(*copies) as after, after.working():
        report = await after.reconcile(temporal_client, settle_within_s=60.0)
        assert (report.violations, report.for_people, report.open_orders) == ((), (), 0)
        # whichever came first: the order is told how its workflow ended, or it is surveyed
        assert sum(report.repaired.get(r, 0) for r in (Rule.SHIP_HELD, Rule.SHIP_UNKNOWN)) == 1
        [row] = (await observe(platforms.databases, after.orders_dsn, after.inventory_dsn)).orders
        assert row.status == "shipped"
        await after.assert_nothing_left(temporal_client)


async def test_a_workflow_that_is_past_a_hold_which_inventory_has_lost_ships_its_order(
    platforms: Platforms, temporal_client: Client
) -> None:
    with platforms.first() as before:
        async with Shopper(before.orders) as shopper:
            _, inventory = await both(before)
            order_id = order_id_for(shopper.name, "held")
            async with by_hand(before.orders_dsn, before.inventory.url) as hands:
                await hands.warehouse.reserve(order_id, [Line(sku="MUG-BLUE", quantity=1)])
            async with connected(before.inventory_dsn) as connection, connection.transaction():
                await connection.execute(LOCK, order_id)  # a commit needs this row
                with before.working():
                    await shopper.place_stubbornly(key="held")
                    await eventually(_has_a_hold(shopper, order_id))
            orders = await take_copy(before.orders_dsn, "orders")
    with platforms.restored(orders, inventory) as after:
        report = await after.reconcile(temporal_client)
        assert report.repaired == {Rule.HOLD_OPEN: 1}
        with after.working():
            async with Shopper(after.orders, "staff") as staff:
                assert (await staff.until_settled(str(order_id)))["status"] == "shipped"
        await after.assert_nothing_left(temporal_client)


async def test_an_older_workflow_finds_what_is_done_and_changes_nothing(
    platforms: Platforms, temporal_client: Client
) -> None:
    with platforms.first() as platform:
        async with Shopper(platform.orders) as shopper:
            order_id = UUID((await shopper.place_stubbornly(key="older")).json()["order_id"])
        await eventually(_is_listed(temporal_client, order_id))
        handle = temporal_client.get_workflow_handle(workflow_id(order_id))
        async with by_hand(platform.orders_dsn, platform.inventory.url) as hands:
            stored = await hands.store.order(order_id)
            assert stored is not None
            lines = [Line(sku=line.sku, quantity=line.quantity) for line in stored.lines]
            await hands.ship(order_id, lines)
        before = await contents(platform.orders_dsn, platform.inventory_dsn)
        with platform.working():
            assert (await handle.result())["status"] == "shipped"
        assert await contents(platform.orders_dsn, platform.inventory_dsn) == before
        await platform.assert_nothing_left(temporal_client)


def _nothing_at_work(client: Client) -> Callable[[], Awaitable[bool]]:
    """End what an earlier test has left: an order's row says that it shipped before its end."""

    async def look() -> bool:
        left = [each.id async for each in client.list_workflows("ExecutionStatus = 'Running'")]
        for name in left:
            with suppress(RPCError):  # it has ended by itself
                await client.get_workflow_handle(name).terminate()
        return not left

    return look


def _has_a_hold(shopper: Shopper, order_id: UUID) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return bool((await shopper.order(str(order_id)))["status"] == "reserved")

    return look


def _is_listed(client: Client, order_id: UUID) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        query = f"WorkflowId = '{workflow_id(order_id)}' AND ExecutionStatus = 'Running'"
        return (await client.count_workflows(query)).count == 1

    return look
