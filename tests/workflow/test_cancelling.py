"""Cancelling an order at every point of its way, by the shopper or through Temporal."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType

from tests.support.in_memory_services import LOST_ANSWER, LOST_REQUEST, Barrier
from tests.support.saga_environment import Handle, SagaEnvironment, meanwhile, until_pending
from workflows.search_attributes import ORDER_STATUS

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


async def test_a_cancel_before_anything_has_happened_bars_a_late_hold(
    saga: SagaEnvironment,
) -> None:
    handle = await saga.place()
    asking = asyncio.create_task(saga.begin_to_cancel(handle))
    async with meanwhile(asking):
        async with saga.working(orders=False):
            await saga.until_cancel_has_come(handle)
        async with saga.working():
            asked = await asking
            outcome = saga.check(await handle.result())
            assert await asked.result() == outcome
    assert (outcome.status, outcome.reason) == ("cancelled", "cancelled-by-customer")
    assert "reserve" not in saga.inventory.attempts
    assert saga.inventory.states[outcome.order_id] == "released"
    assert saga.store.timeline(outcome.order_id) == ["cancel_requested", "released", "cancelled"]


async def test_a_cancel_in_temporal_before_the_first_task_does_the_same(
    saga: SagaEnvironment,
) -> None:
    handle = await saga.place()
    await handle.cancel()
    async with saga.working():
        outcome = saga.check(await handle.result())
    assert outcome.status in ("cancelled", "shipped")


async def test_a_cancel_while_the_hold_waits_durably_ends_the_wait(saga: SagaEnvironment) -> None:
    saga.inventory.be_away("reserve", DAY)
    async with saga.working():
        handle = await saga.place()
        asked = asyncio.create_task(saga.cancel(handle))
        async with meanwhile(asked):
            outcome = saga.check(await asked)
            assert await handle.result() == outcome
    assert outcome.status == "cancelled"
    assert len(saga.inventory.attempts["reserve"]) < 10


async def test_a_hold_that_was_had_and_not_heard_of_goes_back_after_a_cancel(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.expect("reserve", LOST_ANSWER, LOST_ANSWER, LOST_ANSWER, Barrier())
    async with saga.working():
        handle = await saga.place()
        outcome = saga.check(await saga.cancel(handle))
        assert await handle.result() == outcome
    assert outcome.status == "cancelled"
    assert saga.inventory.on_hand["MUG"] == 2


async def test_a_cancel_that_comes_with_the_hold_gives_it_back(saga: SagaEnvironment) -> None:
    """Both are in one workflow task: the hold first, the cancel before the goods go out."""
    saga.inventory.expect("reserve", LOST_REQUEST)
    async with saga.working(durable=False, cached=0):
        handle = await saga.place()
        await until_pending(handle)
    async with saga.working(orders=False):
        await saga.inventory.decided.wait()
    assert list(saga.inventory.states.values()) == ["held"]
    asking = asyncio.create_task(saga.begin_to_cancel(handle))
    async with meanwhile(asking):
        await saga.until_cancel_has_come(handle)
        async with saga.working():
            asked = await asking
            outcome = saga.check(await handle.result())
            assert await asked.result() == outcome
    assert outcome.status == "cancelled"
    assert "commit" not in saga.inventory.attempts
    assert saga.store.timeline(outcome.order_id)[-2:] == ["released", "cancelled"]


async def test_a_cancel_while_the_commit_waits_durably_wins_if_it_never_arrived(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.be_away("commit", DAY)
    async with saga.working():
        handle = await saga.place()
        assert (await saga.settled(handle)).status == "reserved"
        outcome = saga.check(await saga.cancel(handle))
        assert await handle.result() == outcome
    assert outcome.status == "cancelled"
    assert saga.inventory.on_hand["MUG"] == 2


async def test_a_cancel_loses_to_a_commit_that_happened_unheard(saga: SagaEnvironment) -> None:
    saga.inventory.expect("commit", LOST_ANSWER, Barrier())
    async with saga.working():
        handle = await saga.place()
        assert (await saga.settled(handle)).status == "reserved"
        outcome = saga.check(await saga.cancel(handle))
        assert await handle.result() == outcome
    assert outcome.status == "shipped"
    assert saga.inventory.attempts["release"] == [1]
    assert saga.inventory.on_hand["MUG"] == 1


async def test_a_cancel_whose_undo_fails_for_an_hour_still_gives_the_goods_back(
    saga: SagaEnvironment,
) -> None:
    commit = saga.inventory.hold_up("commit", DAY)
    saga.inventory.be_away("release", timedelta(hours=1))
    async with saga.working():
        handle = await saga.place()
        await saga.settled(handle)
        await commit.arrived.wait()
        asked = await saga.begin_to_cancel(handle)
        commit.go_on.set()
        outcome = saga.check(await handle.result())
        assert await asked.result() == outcome
    assert outcome.status == "cancelled"
    assert saga.inventory.on_hand["MUG"] == 2


async def test_a_cancel_after_the_end_changes_nothing(saga: SagaEnvironment) -> None:
    """It meets a workflow that still answers, which is how the last moment looks."""
    async with saga.working():
        handle = await saga.place()
        first, second = await asyncio.gather(saga.settled(handle), handle.result())
        assert first == second
    assert saga.check(first).status == "shipped"
    assert "cancel_requested" not in saga.store.timeline(first.order_id)


async def test_cancelling_twice_is_cancelling_once(saga: SagaEnvironment) -> None:
    saga.inventory.be_away("commit", DAY)
    async with saga.working():
        handle = await saga.place()
        await saga.settled(handle)
        outcomes = await asyncio.gather(*(saga.cancel(handle) for _ in range(5)))
        assert {outcome.status for outcome in outcomes} == {"cancelled"}
        outcome = saga.check(await handle.result())
    assert saga.store.timeline(outcome.order_id).count("cancel_requested") == 1
    assert saga.inventory.attempts["release"] == [1]


@pytest.mark.parametrize("step", ["reserve", "commit"])
async def test_temporals_own_cancel_is_a_cancel_of_the_order(
    saga: SagaEnvironment, step: str
) -> None:
    saga.inventory.be_away(step, DAY)
    barrier = Barrier()
    saga.inventory.expect(step, "fine", barrier)
    async with saga.working():
        handle = await saga.place()
        await barrier.arrived.wait()
        await handle.cancel()
        barrier.go_on.set()
        outcome = saga.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("cancelled", "cancelled-by-customer")
    assert saga.inventory.on_hand["MUG"] == 2


async def test_temporals_own_cancel_does_not_interrupt_an_undo(saga: SagaEnvironment) -> None:
    commit = saga.inventory.hold_up("commit", DAY)
    saga.inventory.be_away("release", timedelta(hours=1))
    barrier = Barrier()
    saga.inventory.expect("release", "fine", barrier)
    async with saga.working():
        handle = await saga.place()
        await saga.settled(handle)
        await commit.arrived.wait()
        asked = asyncio.create_task(saga.cancel(handle))
        async with meanwhile(asked):
            await barrier.arrived.wait()
            commit.go_on.set()
            await handle.cancel()
            barrier.go_on.set()
            outcome = saga.check(await handle.result())
    assert outcome.status == "cancelled"
    assert saga.inventory.on_hand["MUG"] == 2


async def test_temporals_own_cancel_does_not_interrupt_the_order_store(
    saga: SagaEnvironment,
) -> None:
    saga.store.away = timedelta(hours=1)
    saga.inventory.be_away("commit", timedelta(seconds=1))
    barrier = Barrier()
    saga.inventory.expect("commit", barrier)
    async with saga.working():
        handle = await saga.place()
        await barrier.arrived.wait()
        await handle.cancel()
        barrier.go_on.set()
        outcome = saga.check(await handle.result())
    assert outcome.status in ("cancelled", "shipped")


async def test_an_order_found_released_by_a_cancel_that_was_cut_off_ends_cancelled(
    saga: SagaEnvironment,
) -> None:
    """The worker died after the release and before Temporal knew of it; nobody forgets it."""
    order_id = uuid4()
    saga.inventory.states[order_id] = "released"
    async with saga.working():
        handle = await saga.place(order_id=order_id)
        await until_it_sleeps(handle)
        outcome = await saga.cancel(handle)
        assert await handle.result() == outcome
    assert (outcome.status, outcome.reason) == ("cancelled", "cancelled-by-customer")
    saga.store.check(order_id, "cancelled")


async def until_it_sleeps(handle: Handle) -> None:
    """Return once the order waits for time to pass, or has ended; nothing announces that."""
    asleep = {
        EventType.EVENT_TYPE_TIMER_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    }
    async with asyncio.timeout(60):
        while True:
            history = await handle.fetch_history()
            if asleep & {event.event_type for event in history.events}:
                return
            await asyncio.sleep(0.01)


async def test_an_end_that_was_told_stands_when_a_cancel_makes_temporal_ask_again(
    saga: SagaEnvironment,
) -> None:
    """A cancel that comes while the only task runs has it taken anew, from the start, with the
    cancel in it; the first time, the order was written down as sold out."""
    barrier = Barrier()
    saga.inventory.expect("reserve", barrier)
    async with saga.working():
        handle = await saga.place(quantity=3)
        await barrier.arrived.wait()
        asked = asyncio.create_task(saga.cancel(handle))
        async with meanwhile(asked):
            await saga.until_cancel_has_come(handle)
            barrier.go_on.set()
            outcome = saga.check(await handle.result())
            assert await asked == outcome
        listed = (await handle.describe()).typed_search_attributes
    assert outcome.status == "rejected"
    assert listed[ORDER_STATUS] == "rejected"
    assert saga.store.timeline(outcome.order_id) == ["rejected"]
