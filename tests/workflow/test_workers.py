"""Workers that die, have no memory, or meet an order that their code cannot handle."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.worker import Worker

from tests.support.in_memory_services import LOST_ANSWER, LOST_REQUEST, Meeting, activities_of
from tests.support.poisoned_workflow import PoisonedWorkflow
from tests.workflow.conftest import Handle, Shop
from workflows.contracts import TASK_QUEUE
from workflows.worker import runner


@pytest.mark.parametrize("step", ["reserve", "commit"])
async def test_a_worker_that_stops_in_the_middle_is_replaced_by_one_that_replays(
    shop: Shop, step: str
) -> None:
    meeting = Meeting()
    shop.warehouse.expect(step, LOST_ANSWER, meeting)
    async with shop.working(cached=0):
        handle = await shop.place()
        await meeting.arrived.wait()
    async with shop.working():
        outcome = shop.check(await handle.result())
    assert outcome.status == "shipped"


async def test_a_worker_without_any_cache_settles_an_order_with_many_steps(shop: Shop) -> None:
    for operation in ("reserve", "commit"):
        shop.warehouse.expect(operation, LOST_REQUEST, LOST_ANSWER)
    shop.book.lose = 3
    async with shop.working(cached=0):
        handle = await shop.place()
        outcome = shop.check(await handle.result())
    assert outcome.status == "shipped"


async def test_an_undo_goes_on_after_the_worker_was_replaced(shop: Shop) -> None:
    shop.warehouse.be_away("commit", timedelta(days=1))
    meeting = Meeting()
    shop.warehouse.expect("release", LOST_ANSWER, meeting)
    async with shop.working(cached=0):
        handle = await shop.place()
        await shop.settled(handle)
        asked = asyncio.create_task(shop.cancel(handle))
        await meeting.arrived.wait()
    async with shop.working(cached=0):
        outcome = shop.check(await handle.result())
        assert await asked == outcome
    assert outcome.status == "cancelled"


async def _task_failed(handle: Handle) -> str:
    """Wait until a workflow task of this order has failed, and return what Temporal shows."""
    while True:
        async for event in handle.fetch_history_events():
            if event.HasField("workflow_task_failed_event_attributes"):
                return event.workflow_task_failed_event_attributes.failure.message
        await asyncio.sleep(0.02)


async def test_a_bug_parks_the_order_that_meets_it_and_no_other(shop: Shop) -> None:
    async with Worker(
        shop.env.client,
        task_queue=TASK_QUEUE,
        workflows=[PoisonedWorkflow],
        activities=activities_of(shop.warehouse, shop.book),
        workflow_runner=runner(sandbox=shop.sandboxed),
        max_cached_workflows=0,
    ):
        poison = await shop.place(quantity=2)
        assert await _task_failed(poison) == "a bug"
        healthy = await shop.place()
        assert (await healthy.result()).status == "shipped"
        assert (await poison.describe()).status is WorkflowExecutionStatus.RUNNING
    # the bug is mended
    async with shop.working():
        outcome = await poison.result()
    # one mug is gone, so the order for two is sold out: settled, late and right
    assert outcome.status == "rejected"
