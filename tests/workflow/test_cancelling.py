"""Cancelling an order at every point of its way, by the shopper or through Temporal."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType

from tests.support.in_memory_services import LOST_ANSWER, LOST_REQUEST, Meeting
from tests.workflow.conftest import Handle, Shop, meanwhile, until_pending
from workflows.order import STATUS

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
# What a question takes to Temporal: it tells nobody of one that no worker has looked at.
ON_ITS_WAY_S = 1.0


async def test_a_cancel_before_anything_has_happened_bars_a_late_hold(shop: Shop) -> None:
    handle = await shop.place()
    asking = asyncio.create_task(shop.begin_to_cancel(handle))
    async with meanwhile(asking):
        async with shop.working(orders=False):
            await asyncio.sleep(ON_ITS_WAY_S)
        async with shop.working():
            asked = await asking
            outcome = shop.check(await handle.result())
            assert await asked.result() == outcome
    assert (outcome.status, outcome.reason) == ("cancelled", "cancelled-by-customer")
    assert "reserve" not in shop.warehouse.attempts
    assert shop.warehouse.states[outcome.order_id] == "released"
    assert shop.book.timeline(outcome.order_id) == ["cancel_requested", "released", "cancelled"]


async def test_an_engine_side_cancel_before_the_first_task_does_the_same(shop: Shop) -> None:
    handle = await shop.place()
    await handle.cancel()
    async with shop.working():
        outcome = shop.check(await handle.result())
    assert outcome.status in ("cancelled", "shipped")


async def test_a_cancel_while_the_hold_waits_durably_ends_the_wait(shop: Shop) -> None:
    shop.warehouse.be_away("reserve", DAY)
    async with shop.working():
        handle = await shop.place()
        asked = asyncio.create_task(shop.cancel(handle))
        async with meanwhile(asked):
            outcome = shop.check(await asked)
            assert await handle.result() == outcome
    assert outcome.status == "cancelled"
    assert len(shop.warehouse.attempts["reserve"]) < 10


async def test_a_hold_that_was_had_and_not_heard_of_goes_back_after_a_cancel(shop: Shop) -> None:
    shop.warehouse.expect("reserve", LOST_ANSWER, LOST_ANSWER, LOST_ANSWER, Meeting())
    async with shop.working():
        handle = await shop.place()
        outcome = shop.check(await shop.cancel(handle))
        assert await handle.result() == outcome
    assert outcome.status == "cancelled"
    assert shop.warehouse.on_hand["MUG"] == 2


async def test_a_cancel_that_comes_with_the_hold_gives_it_back(shop: Shop) -> None:
    """Both are in one workflow task: the hold first, the cancel before the goods go out."""
    shop.warehouse.expect("reserve", LOST_REQUEST)
    async with shop.working(durable=False, cached=0):
        handle = await shop.place()
        await until_pending(handle)
    async with shop.working(orders=False):
        await shop.warehouse.decided.wait()
    assert list(shop.warehouse.states.values()) == ["held"]
    asking = asyncio.create_task(shop.begin_to_cancel(handle))
    async with meanwhile(asking):
        await asyncio.sleep(ON_ITS_WAY_S)
        async with shop.working():
            asked = await asking
            outcome = shop.check(await handle.result())
            assert await asked.result() == outcome
    assert outcome.status == "cancelled"
    assert "commit" not in shop.warehouse.attempts
    assert shop.book.timeline(outcome.order_id)[-2:] == ["released", "cancelled"]


async def test_a_cancel_while_the_commit_waits_durably_wins_if_it_never_arrived(
    shop: Shop,
) -> None:
    shop.warehouse.be_away("commit", DAY)
    async with shop.working():
        handle = await shop.place()
        assert (await shop.settled(handle)).status == "reserved"
        outcome = shop.check(await shop.cancel(handle))
        assert await handle.result() == outcome
    assert outcome.status == "cancelled"
    assert shop.warehouse.on_hand["MUG"] == 2


async def test_a_cancel_loses_to_a_commit_that_happened_unheard(shop: Shop) -> None:
    shop.warehouse.expect("commit", LOST_ANSWER, Meeting())
    async with shop.working():
        handle = await shop.place()
        assert (await shop.settled(handle)).status == "reserved"
        outcome = shop.check(await shop.cancel(handle))
        assert await handle.result() == outcome
    assert outcome.status == "shipped"
    assert shop.warehouse.attempts["release"] == [1]
    assert shop.warehouse.on_hand["MUG"] == 1


async def test_a_cancel_whose_undo_fails_for_an_hour_still_gives_the_goods_back(
    shop: Shop,
) -> None:
    shop.warehouse.be_away("commit", DAY)
    shop.warehouse.be_away("release", timedelta(hours=1))
    async with shop.working():
        handle = await shop.place()
        await shop.settled(handle)
        asked = await shop.begin_to_cancel(handle)
        outcome = shop.check(await handle.result())
        assert await asked.result() == outcome
    assert outcome.status == "cancelled"
    assert shop.warehouse.on_hand["MUG"] == 2


async def test_a_cancel_after_the_end_changes_nothing(shop: Shop) -> None:
    """It meets a workflow that still answers, which is how the last moment looks."""
    async with shop.working():
        handle = await shop.place()
        first, second = await asyncio.gather(shop.settled(handle), handle.result())
        assert first == second
    assert shop.check(first).status == "shipped"
    assert "cancel_requested" not in shop.book.timeline(first.order_id)


async def test_cancelling_twice_is_cancelling_once(shop: Shop) -> None:
    shop.warehouse.be_away("commit", DAY)
    async with shop.working():
        handle = await shop.place()
        await shop.settled(handle)
        outcomes = await asyncio.gather(*(shop.cancel(handle) for _ in range(5)))
        assert {outcome.status for outcome in outcomes} == {"cancelled"}
        outcome = shop.check(await handle.result())
    assert shop.book.timeline(outcome.order_id).count("cancel_requested") == 1
    assert shop.warehouse.attempts["release"] == [1]


@pytest.mark.parametrize("step", ["reserve", "commit"])
async def test_the_engines_own_cancel_is_a_cancel_of_the_order(shop: Shop, step: str) -> None:
    shop.warehouse.be_away(step, DAY)
    meeting = Meeting()
    shop.warehouse.expect(step, "fine", meeting)
    async with shop.working():
        handle = await shop.place()
        await meeting.arrived.wait()
        await handle.cancel()
        meeting.go_on.set()
        outcome = shop.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("cancelled", "cancelled-by-customer")
    assert shop.warehouse.on_hand["MUG"] == 2


async def test_the_engines_own_cancel_does_not_interrupt_an_undo(shop: Shop) -> None:
    shop.warehouse.be_away("commit", DAY)
    shop.warehouse.be_away("release", timedelta(hours=1))
    meeting = Meeting()
    shop.warehouse.expect("release", "fine", meeting)
    async with shop.working():
        handle = await shop.place()
        await shop.settled(handle)
        asked = asyncio.create_task(shop.cancel(handle))
        async with meanwhile(asked):
            await meeting.arrived.wait()
            await handle.cancel()
            meeting.go_on.set()
            outcome = shop.check(await handle.result())
    assert outcome.status == "cancelled"
    assert shop.warehouse.on_hand["MUG"] == 2


async def test_the_engines_own_cancel_does_not_interrupt_the_order_book(shop: Shop) -> None:
    shop.book.away = timedelta(hours=1)
    shop.warehouse.be_away("commit", timedelta(seconds=1))
    meeting = Meeting()
    shop.warehouse.expect("commit", meeting)
    async with shop.working():
        handle = await shop.place()
        await meeting.arrived.wait()
        await handle.cancel()
        meeting.go_on.set()
        outcome = shop.check(await handle.result())
    assert outcome.status in ("cancelled", "shipped")


async def test_an_order_found_released_by_a_cancel_that_was_cut_off_ends_cancelled(
    shop: Shop,
) -> None:
    """The worker died after the release and before Temporal knew of it; nobody forgets it."""
    order_id = uuid4()
    shop.warehouse.states[order_id] = "released"
    async with shop.working():
        handle = await shop.place(order_id=order_id)
        await until_it_sleeps(handle)
        outcome = await shop.cancel(handle)
        assert await handle.result() == outcome
    assert (outcome.status, outcome.reason) == ("cancelled", "cancelled-by-customer")
    shop.book.check(order_id, "cancelled")


async def until_it_sleeps(handle: Handle) -> None:
    """Return once the order waits for time to pass, or has ended; nothing announces that."""
    for _ in range(1000):
        history = await handle.fetch_history()
        kinds = {event.event_type for event in history.events}
        if kinds & {
            EventType.EVENT_TYPE_TIMER_STARTED,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        }:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_an_end_that_was_told_stands_when_a_cancel_makes_the_engine_ask_again(
    shop: Shop,
) -> None:
    """A cancel that comes while the only task runs has it taken anew, from the start, with the
    cancel in it; the first time, the order was written down as sold out."""
    meeting = Meeting()
    shop.warehouse.expect("reserve", meeting)
    async with shop.working():
        handle = await shop.place(quantity=3)
        await meeting.arrived.wait()
        asked = asyncio.create_task(shop.cancel(handle))
        async with meanwhile(asked):
            await asyncio.sleep(0.2)  # on its way to Temporal, which tells nobody
            meeting.go_on.set()
            outcome = shop.check(await handle.result())
            assert await asked == outcome
        listed = (await handle.describe()).typed_search_attributes
    assert outcome.status == "rejected"
    assert listed[STATUS] == "rejected"
    assert shop.book.timeline(outcome.order_id) == ["rejected"]
