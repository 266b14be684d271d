"""Orders and inventory are restored to different steps of a history: one run, and they agree."""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx
import pytest

import inventory_api.seed
from activities.contracts import OPEN
from backup.reconcile.contracts import ReconcileReport, Rule, Site
from backup.reconcile.run import OrdersEmpty, reconcile
from backup.reconcile.warehouse import WarehouseAway
from deploy.local.ports import free_port
from inventory_api.contracts import Line
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.serving import PATIENT, bearer, serve_inventory, token
from tests.support.trail.agreement import contents, observe, wrong
from tests.support.trail.sagas_by_hand import (
    DELIVERED,
    ByHand,
    History,
    Ordered,
    Step,
    by_hand,
    each_ordered,
    history,
)

ORDERS = 40


@dataclass(frozen=True)
class Restored:
    """Two databases as of two steps of one history, and the warehouse on its own."""

    databases: Databases
    orders_dsn: str
    inventory_dsn: str
    inventory_url: str

    async def reconcile(self, *, dry_run: bool = False, **changes: Any) -> ReconcileReport:
        site = Site(
            orders_dsn=self.orders_dsn,
            inventory_dsn=self.inventory_dsn,
            inventory_url=self.inventory_url,
            token=token("service", "reconcile"),
            grace_s=0.0,
            orders_may_be_empty=True,
        )
        site = replace(site, **changes)
        return await reconcile(site, dry_run=dry_run, progress=lambda _: None)

    @asynccontextmanager
    async def by_hand(self) -> AsyncIterator[ByHand]:
        async with by_hand(self.orders_dsn, self.inventory_url) as hands:
            yield hands

    async def restore(self, made: History, *, orders_at: int, inventory_at: int) -> None:
        async with self.by_hand() as hands:
            await hands.take(made.in_orders(orders_at))
            await hands.take(made.in_inventory(inventory_at))

    async def finish_open(self, made: History) -> dict[UUID, str]:
        """Let every open order's workflow begin anew; return how they ended."""
        found = await observe(self.databases, self.orders_dsn, self.inventory_dsn)
        async with self.by_hand() as hands:
            return {
                order.order_id: await hands.finish(order, cancelling=row.cancelling)
                for order in each_ordered(made)
                if (row := await hands.store.order(order.order_id)) is not None
                and found.by_id[order.order_id].status in OPEN
            }

    async def contents(self) -> list[list[object]]:
        return await contents(self.orders_dsn, self.inventory_dsn)

    async def wrong(self, report: ReconcileReport) -> list[str]:
        observed = await observe(self.databases, self.orders_dsn, self.inventory_dsn)
        return wrong(observed, {each.order_id for each in report.for_people})


@contextmanager
def empty(loop_thread: EventLoopThread, databases: Databases) -> Iterator[Restored]:
    with ExitStack() as stack:
        orders_dsn = stack.enter_context(databases.fresh("orders"))
        inventory_dsn = stack.enter_context(databases.fresh("inventory"))
        loop_thread.run(inventory_api.seed.seed(inventory_dsn, DELIVERED))
        served = stack.enter_context(serve_inventory(inventory_dsn, **PATIENT))
        yield Restored(databases, orders_dsn, inventory_dsn, served.url)


@pytest.fixture
def restored(loop_thread: EventLoopThread, databases: Databases) -> Iterator[Restored]:
    with empty(loop_thread, databases) as found:
        yield found


@pytest.mark.parametrize("seed", range(5))
async def test_an_older_inventory_agrees_again_and_leaves_nothing_to_people(
    restored: Restored, seed: int
) -> None:
    dice = random.Random(f"older inventory/{seed}")
    made = history(dice, ORDERS)
    orders_at = dice.randint(len(made.steps) // 2, len(made.steps))
    await restored.restore(
        made, orders_at=orders_at, inventory_at=dice.randint(0, orders_at * 3 // 4)
    )
    report = await run_to_the_end(restored, made)
    assert report.for_people == ()


@pytest.mark.parametrize("seed", range(5))
async def test_older_orders_agree_again_but_for_goods_that_left_for_lost_ones(
    restored: Restored, seed: int
) -> None:
    dice = random.Random(f"older orders/{seed}")
    made = history(dice, ORDERS)
    inventory_at = dice.randint(len(made.steps) // 2, len(made.steps))
    orders_at = dice.randint(0, inventory_at * 3 // 4)
    await restored.restore(made, orders_at=orders_at, inventory_at=inventory_at)
    report = await run_to_the_end(restored, made)
    lost = made.orders_with("commit", inventory_at) - made.orders_with("accept", orders_at)
    assert {each.order_id for each in report.for_people} == lost
    assert {each.rule for each in report.for_people} <= {Rule.COMMITTED_UNORDERED}
    assert all(each.lines for each in report.for_people)


async def run_to_the_end(restored: Restored, made: History) -> ReconcileReport:
    """Reconcile, let open orders end, and see that all agrees and nothing is left to do."""
    before = await restored.contents()
    planned = await restored.reconcile(dry_run=True)
    assert await restored.contents() == before, "a dry run has changed something"
    report = await restored.reconcile()
    assert report.violations == ()
    assert report.repaired == planned.repaired
    assert report.for_people == planned.for_people
    await restored.finish_open(made)
    assert await restored.wrong(report) == []
    await nothing_more_to_do(restored, report)
    return report


async def nothing_more_to_do(restored: Restored, report: ReconcileReport) -> None:
    before = await restored.contents()
    again = await restored.reconcile()
    assert (again.repaired, again.violations, again.open_orders) == ({}, (), 0)
    assert again.for_people == report.for_people
    assert await restored.contents() == before


async def test_an_order_that_was_cancelled_in_inventory_ends_cancelled_and_has_not_failed(
    restored: Restored,
) -> None:
    made = history(random.Random(1), ORDERS)
    wishes = [n for n, step in enumerate(made.steps) if step.what == "wish"]
    wish = wishes[0]
    cancelled = made.steps[wish].order.order_id
    release = next(
        n
        for n, step in enumerate(made.steps)
        if step.what == "release" and step.order.order_id == cancelled
    )
    await restored.restore(made, orders_at=wish, inventory_at=release + 1)
    report = await restored.reconcile()
    assert report.repaired[Rule.CANCEL_OPEN] >= 1
    assert (await restored.finish_open(made))[cancelled] == "cancelled"


def shipped(quantity: int) -> History:
    """Return the history of one order for so many of the scarcest pieces."""
    order = Ordered(1, (Line(sku="LAST-ONE", quantity=quantity),))
    return History(
        [
            Step(order, "accept"),
            Step(order, "hold"),
            Step(order, "commit"),
            Step(order, "tell", "shipped"),
        ]
    )


async def test_what_a_lost_delivery_brought_is_shipped_again_once_it_is_entered_again(
    restored: Restored,
) -> None:
    made = shipped(DELIVERED["LAST-ONE"] + 1)
    await restored.restore(made, orders_at=len(made.steps), inventory_at=0)
    before = await restored.contents()
    report = await restored.reconcile()
    [asked] = report.for_people
    assert (asked.rule, asked.status, asked.state) == (Rule.NOT_IN_STOCK, "shipped", None)
    assert (report.repaired, report.violations) == ({}, ())
    assert await restored.contents() == before, "a refusal would be for good"
    async with httpx.AsyncClient(headers=bearer("staff"), timeout=30) as staff:
        entered = await staff.post(
            f"{restored.inventory_url}/v1/stock/LAST-ONE/restock",
            json={"quantity": 1},
            headers={"Idempotency-Key": "delivery-1"},
        )
        assert entered.status_code == 200, entered.text
    report = await restored.reconcile()
    assert (report.repaired, report.for_people) == ({Rule.SHIP_UNKNOWN: 1}, ())
    assert await restored.wrong(report) == []
    await nothing_more_to_do(restored, report)


async def test_a_warehouse_that_is_away_stops_the_run_and_the_next_goes_on(
    restored: Restored,
) -> None:
    made = shipped(1)
    await restored.restore(made, orders_at=len(made.steps), inventory_at=1)
    before = await restored.contents()
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(WarehouseAway, match="did not say within"):
        await restored.reconcile(inventory_url=nobody, patience_s=0.5)
    with pytest.raises(WarehouseAway, match="does not take our token"):
        await restored.reconcile(token="nobody's")
    assert await restored.contents() == before
    assert (await restored.reconcile()).repaired == {Rule.SHIP_UNKNOWN: 1}


async def test_an_empty_orders_database_does_not_have_everything_released(
    restored: Restored,
) -> None:
    made = shipped(1)
    await restored.restore(made, orders_at=0, inventory_at=2)
    before = await restored.contents()
    with pytest.raises(OrdersEmpty):
        await restored.reconcile(orders_may_be_empty=False)
    assert await restored.contents() == before
    assert (await restored.reconcile()).repaired == {Rule.RELEASE_UNORDERED: 1}
