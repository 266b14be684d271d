"""Orders that a later release has a hand in, with statuses and members that this one lacks."""

import asyncio
from datetime import timedelta
from uuid import uuid4

from tests.support.in_memory_services import LOST_REQUEST
from tests.support.saga_environment import SagaEnvironment
from workflows.contracts import TASK_QUEUE, WORKFLOW, OrderOutcome, workflow_id
from workflows.policies import POLICIES

WAITS = "waiting_for_stock"
EXPIRED = "expired"


async def test_an_order_whose_row_is_in_an_unknown_status_goes_on_and_ships(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.expect("reserve", LOST_REQUEST)
    saga.store.ahead = {"received": WAITS}
    async with saga.working():
        handle = await saga.place()
        assert (await saga.settled(handle)).status == "shipped"
        outcome = saga.check(await handle.result())
    assert outcome.status == "shipped"


async def test_a_shopper_is_not_told_reserved_while_the_row_says_something_unknown(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.be_away("commit", timedelta(minutes=1))
    saga.store.ahead = {"reserved": "packed"}
    async with saga.working():
        handle = await saga.place()
        asked = asyncio.create_task(saga.settled(handle))
        outcome = saga.check(await handle.result())
        assert await asked == outcome
    assert outcome.status == "shipped"


async def test_an_order_whose_row_has_ended_in_an_unknown_way_ends_so(
    saga: SagaEnvironment,
) -> None:
    saga.store.ahead = {"shipped": EXPIRED}
    async with saga.working():
        handle = await saga.place()
        answers = await asyncio.gather(saga.settled(handle), handle.result())
    assert {(answer.status, answer.reason) for answer in answers} == {(EXPIRED, "later")}


async def test_whoever_cancels_an_order_that_ended_in_an_unknown_way_is_told_so(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.be_away("commit", timedelta(days=1))
    saga.store.ahead = {"cancelled": EXPIRED}
    async with saga.working():
        handle = await saga.place()
        await saga.settled(handle)
        assert (await saga.cancel(handle)).status == EXPIRED
        assert (await handle.result()).status == EXPIRED
    assert saga.inventory.states[(await handle.result()).order_id] == "released"


async def test_members_that_a_later_release_has_added_to_an_order_are_ignored(
    saga: SagaEnvironment,
) -> None:
    order_id = uuid4()
    order = {
        "order_id": str(order_id),
        "on_shortage": "wait",
        "lines": [{"sku": "MUG", "quantity": 1, "substitutes": ["CUP"]}],
    }
    async with saga.working():
        handle = await saga.env.client.start_workflow(
            WORKFLOW,
            order,
            id=workflow_id(order_id),
            task_queue=TASK_QUEUE,
            task_timeout=POLICIES.workflow_task,
            result_type=OrderOutcome,
        )
        outcome = saga.check(await handle.result())
    assert outcome.status == "shipped"
