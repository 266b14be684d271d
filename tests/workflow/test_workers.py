"""Workers that die, have no memory, or meet an order that their code cannot handle."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.worker import Worker

from tests.support.in_memory_services import LOST_ANSWER, LOST_REQUEST, Barrier, activities_of
from tests.support.poisoned_workflow import PoisonedWorkflow
from tests.support.saga_environment import Handle, SagaEnvironment
from worker.temporal_worker import runner
from workflows.contracts import TASK_QUEUE


@pytest.mark.parametrize("step", ["reserve", "commit"])
async def test_a_worker_that_stops_in_the_middle_is_replaced_by_one_that_replays(
    saga: SagaEnvironment, step: str
) -> None:
    barrier = Barrier()
    saga.inventory.expect(step, LOST_ANSWER, barrier)
    async with saga.working(cached=0):
        handle = await saga.place()
        await barrier.arrived.wait()
    async with saga.working():
        outcome = saga.check(await handle.result())
    assert outcome.status == "shipped"


async def test_a_worker_without_any_cache_settles_an_order_with_many_steps(
    saga: SagaEnvironment,
) -> None:
    for operation in ("reserve", "commit"):
        saga.inventory.expect(operation, LOST_REQUEST, LOST_ANSWER)
    saga.store.lose = 3
    async with saga.working(cached=0):
        handle = await saga.place()
        outcome = saga.check(await handle.result())
    assert outcome.status == "shipped"


async def test_an_undo_goes_on_after_the_worker_was_replaced(saga: SagaEnvironment) -> None:
    saga.inventory.be_away("commit", timedelta(days=1))
    barrier = Barrier()
    saga.inventory.expect("release", LOST_ANSWER, barrier)
    async with saga.working(cached=0):
        handle = await saga.place()
        await saga.settled(handle)
        asked = asyncio.create_task(saga.cancel(handle))
        await barrier.arrived.wait()
    async with saga.working(cached=0):
        outcome = saga.check(await handle.result())
        assert await asked == outcome
    assert outcome.status == "cancelled"


async def _task_failed(handle: Handle) -> str:
    """Wait until a workflow task of this order has failed, and return what Temporal shows."""
    while True:
        async for event in handle.fetch_history_events():
            if event.HasField("workflow_task_failed_event_attributes"):
                return event.workflow_task_failed_event_attributes.failure.message
        await asyncio.sleep(0.02)


async def test_a_bug_parks_the_order_that_meets_it_and_no_other(saga: SagaEnvironment) -> None:
    async with Worker(
        saga.env.client,
        task_queue=TASK_QUEUE,
        workflows=[PoisonedWorkflow],
        activities=activities_of(saga.inventory, saga.store),
        workflow_runner=runner(sandbox=saga.sandboxed),
        max_cached_workflows=0,
    ) as worker:
        # of a machine that stands still for two seconds, the SDK would say that the order hangs
        assert worker._workflow_worker is not None
        worker._workflow_worker._deadlock_timeout_seconds = 60
        poison = await saga.place(quantity=2)
        assert await _task_failed(poison) == "a bug"
        healthy = await saga.place()
        assert (await healthy.result()).status == "shipped"
        assert (await poison.describe()).status is WorkflowExecutionStatus.RUNNING
    # the bug is mended
    async with saga.working():
        outcome = await poison.result()
    # one mug is gone, so the order for two is sold out: settled, late and right
    assert outcome.status == "rejected"
