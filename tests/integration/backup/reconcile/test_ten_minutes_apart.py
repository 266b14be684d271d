"""B6: databases are restored ten minutes apart under a mixed load, and Temporal is empty."""

import asyncio
import time
from pathlib import Path

import pytest

from backup.reconcile.contracts import ReconcileReport
from chaos.scenarios.workload import Crowd, PlannedOrder, plan
from tests.conftest import FIGURES
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import OrderStack, Shopper
from tests.support.trail.restored_apart import Copies, agree_after_one_run

APART_S = 600.0
PER_SECOND = 4.0
# Before the first copy, so that it has orders of each kind, too.
BEFORE_S = 20.0
# And after the second, so that it is taken amid the load.
AFTER_S = 5.0
MIXED = Crowd(scarce=0.05, double_clicks=0.05, cancels=0.1)


@pytest.fixture(scope="module")
def copies(order_stack: OrderStack) -> Copies:
    with EventLoopThread() as own_loop:  # that of the stack is needed to serve it
        return own_loop.run(_copies(order_stack))


async def _copies(stack: OrderStack) -> Copies:
    found = Copies()
    planned = plan(6, int(PER_SECOND * (BEFORE_S + APART_S + AFTER_S)), PER_SECOND, MIXED)
    with stack.working():
        async with Shopper(stack.orders) as shopper, asyncio.TaskGroup() as tasks:
            began = time.monotonic()
            tasks.create_task(_send(shopper, planned, began))
            for moment, at_s in (("early", BEFORE_S), ("late", BEFORE_S + APART_S)):
                await asyncio.sleep(began + at_s - time.monotonic())
                await found.take(moment, stack)
    return found


async def _send(shopper: Shopper, planned: tuple[PlannedOrder, ...], began: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        for order in planned:
            await asyncio.sleep(max(began + order.at_s - time.monotonic(), 0.0))
            tasks.create_task(_one(shopper, order))


async def _one(shopper: Shopper, order: PlannedOrder) -> None:
    line = order.lines[0]
    answers = await asyncio.gather(
        *(shopper.place_stubbornly(line.sku, line.quantity, order.key) for _ in range(order.clicks))
    )
    if order.cancels:
        await shopper.cancel(answers[0].json()["order_id"])


@pytest.mark.full
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(("orders_at", "inventory_at"), [("early", "late"), ("late", "early")])
async def test_databases_ten_minutes_apart_agree_after_one_run(
    copies: Copies,
    loop_thread: EventLoopThread,
    databases: Databases,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    orders_at: str,
    inventory_at: str,
) -> None:
    began = time.monotonic()
    report: ReconcileReport = await agree_after_one_run(
        copies.orders[orders_at],
        copies.inventory[inventory_at],
        loop_thread,
        databases,
        tmp_path,
        within_s=600.0,
    )
    repaired = sum(report.repaired.values())
    # Where orders are older than inventory, all that was ordered meanwhile has left for nobody.
    assert repaired + report.for_people_count > PER_SECOND * APART_S / 2
    pytestconfig.stash[FIGURES].append(
        f"orders as of {orders_at}, inventory as of {inventory_at}, {APART_S:.0f} s apart:"
        f" {repaired} repairs, {report.for_people_count} for people, 0 violations, all ended"
        f" {time.monotonic() - began:.0f} s after the restore"
    )
