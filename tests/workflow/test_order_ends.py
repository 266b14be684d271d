"""Every way in which an order ends, step by step, with the clock skipped forward."""

import asyncio
from datetime import timedelta

from tests.support.in_memory_services import LOST_ANSWER, LOST_REQUEST, UNWORKABLE
from tests.workflow.conftest import Shop

HOUR = timedelta(hours=1)


async def test_an_order_ships_with_one_attempt_at_each_step(shop: Shop) -> None:
    async with shop.working():
        handle = await shop.place()
        outcome = shop.check(await handle.result())
    assert (outcome.status, outcome.reason, outcome.waiting_for) == ("shipped", None, None)
    assert shop.warehouse.attempts == {"reserve": [1], "commit": [1]}
    assert shop.book.timeline(outcome.order_id) == ["reserved", "ready_to_ship", "shipped"]


async def test_the_happy_path_costs_one_workflow_task_and_no_activity_of_its_own(
    shop: Shop,
) -> None:
    async with shop.working():
        handle = await shop.place()
        await handle.result()
    history = await handle.fetch_history()
    kinds = [event.WhichOneof("attributes") for event in history.events]
    assert kinds.count("workflow_task_completed_event_attributes") == 1
    assert "activity_task_scheduled_event_attributes" not in kinds


async def test_an_order_for_more_than_there_is_is_rejected_and_holds_nothing(shop: Shop) -> None:
    async with shop.working():
        handle = await shop.place(quantity=3)
        outcome = shop.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("rejected", "out-of-stock")
    assert "commit" not in shop.warehouse.attempts
    assert shop.book.timeline(outcome.order_id) == ["rejected"]


async def test_a_reserve_that_fails_once_is_tried_durably_and_the_order_ships(shop: Shop) -> None:
    shop.warehouse.expect("reserve", LOST_REQUEST)
    async with shop.working():
        handle = await shop.place()
        outcome = shop.check(await handle.result())
    assert outcome.status == "shipped"
    assert shop.warehouse.attempts["reserve"] == [1, 2]
    assert shop.book.timeline(outcome.order_id) == [
        "waiting",
        "reserved",
        "ready_to_ship",
        "shipped",
    ]


async def test_every_answer_lost_once_leaves_one_effect_each(shop: Shop) -> None:
    for operation in ("reserve", "commit"):
        shop.warehouse.expect(operation, LOST_ANSWER, LOST_ANSWER)
    shop.book.lose = 2
    async with shop.working():
        handle = await shop.place(quantity=2)
        outcome = shop.check(await handle.result())
    assert outcome.status == "shipped"
    assert shop.warehouse.attempts == {"reserve": [1, 2, 3], "commit": [1, 2, 3]}


async def test_a_reserve_that_is_away_for_an_hour_is_awaited(shop: Shop) -> None:
    shop.warehouse.be_away("reserve", HOUR)
    async with shop.working():
        handle = await shop.place()
        outcome = shop.check(await handle.result())
    assert outcome.status == "shipped"
    assert len(shop.warehouse.attempts["reserve"]) > 200, "15 s apart at the most"


async def test_a_reserve_that_takes_over_a_day_fails_the_order_and_is_undone(shop: Shop) -> None:
    shop.warehouse.retry_after = timedelta(hours=5)
    shop.warehouse.be_away("reserve", timedelta(days=2))
    async with shop.working():
        handle = await shop.place()
        outcome = shop.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("failed", "reserve: TooLong")
    assert shop.warehouse.states[outcome.order_id] == "released", "a late hold finds the tombstone"


async def test_a_reserve_refused_for_good_fails_the_order_and_is_released(shop: Shop) -> None:
    shop.warehouse.expect("reserve", UNWORKABLE)
    async with shop.working():
        handle = await shop.place()
        outcome = shop.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("failed", "reserve: Unworkable")
    assert shop.warehouse.attempts["release"] == [1]
    assert shop.book.timeline(outcome.order_id) == ["released", "failed"]


async def test_a_hold_that_somebody_released_fails_the_order_at_the_commit(shop: Shop) -> None:
    shop.warehouse.be_away("commit", timedelta(minutes=1))
    async with shop.working():
        handle = await shop.place()
        order_id = (await shop.settled(handle)).order_id
        shop.warehouse.states[order_id] = "released"
        shop.warehouse.reserved.clear()
        outcome = await handle.result()
    assert (outcome.status, outcome.reason) == ("failed", "commit: AlreadyReleased")
    assert shop.warehouse.states[order_id] == "released"
    shop.book.check(order_id, "failed")


async def test_a_commit_refused_for_good_gives_the_goods_back(shop: Shop) -> None:
    shop.warehouse.expect("commit", UNWORKABLE)
    async with shop.working():
        handle = await shop.place()
        outcome = shop.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("failed", "commit: Unworkable")
    assert shop.warehouse.on_hand["MUG"] == 2


async def test_a_release_refused_for_good_fails_the_order_and_asks_for_a_person(
    shop: Shop,
) -> None:
    shop.warehouse.expect("commit", UNWORKABLE)
    shop.warehouse.expect("release", UNWORKABLE)
    async with shop.working():
        handle = await shop.place()
        outcome = await handle.result()
    assert outcome.status == "failed"
    assert outcome.reason == "commit: Unworkable; release: Unworkable"
    [failed] = [event for event in shop.book.told.values() if event.type == "failed"]
    assert "Needs a person" in failed.detail["message"]


async def test_an_undo_that_fails_for_an_hour_still_ends_right(shop: Shop) -> None:
    shop.warehouse.expect("commit", UNWORKABLE)
    shop.warehouse.be_away("release", HOUR)
    async with shop.working():
        handle = await shop.place()
        outcome = shop.check(await handle.result())
    assert outcome.status == "failed"
    assert shop.warehouse.on_hand["MUG"] == 2
    assert len(shop.warehouse.attempts["release"]) > 200


async def test_an_order_book_that_is_away_for_an_hour_gets_the_whole_story_afterwards(
    shop: Shop,
) -> None:
    shop.book.away = HOUR
    async with shop.working():
        handle = await shop.place()
        outcome = shop.check(await handle.result())
    assert outcome.status == "shipped"
    assert shop.book.timeline(outcome.order_id) == ["reserved", "ready_to_ship", "shipped"]


async def test_a_shopper_is_told_reserved_only_when_the_order_book_says_so_too(
    shop: Shop,
) -> None:
    shop.warehouse.be_away("commit", HOUR)
    shop.book.away = timedelta(minutes=1)
    async with shop.working():
        handle = await shop.place()
        asked = asyncio.create_task(shop.settled(handle))
        await shop.env.sleep(timedelta(minutes=5))
        outcome = await asked
        assert (outcome.status, outcome.waiting_for) == ("reserved", "warehouse")
        assert shop.book.recorded[outcome.order_id].status == "reserved"
        assert shop.book.waiting_for[outcome.order_id] == "warehouse"
        outcome = shop.check(await handle.result())
    assert outcome.status == "shipped"


async def test_whoever_asks_after_the_end_gets_the_end(shop: Shop) -> None:
    async with shop.working():
        handle = await shop.place()
        answer = await shop.settled(handle)
        assert answer == await handle.result()
        assert answer.status == "shipped"
