"""Every way in which an order ends, step by step, with the clock skipped forward."""

import asyncio
from datetime import timedelta

from tests.support.in_memory_services import LOST_ANSWER, LOST_REQUEST, UNWORKABLE
from tests.support.saga_environment import SagaEnvironment

HOUR = timedelta(hours=1)


async def test_an_order_ships_with_one_attempt_at_each_step(saga: SagaEnvironment) -> None:
    async with saga.working():
        handle = await saga.place()
        outcome = saga.check(await handle.result())
    assert (outcome.status, outcome.reason, outcome.waiting_for) == ("shipped", None, None)
    assert saga.inventory.attempts == {"reserve": [1], "commit": [1]}
    assert saga.store.timeline(outcome.order_id) == ["reserved", "ready_to_ship", "shipped"]


async def test_the_happy_path_costs_one_workflow_task_and_no_activity_of_its_own(
    saga: SagaEnvironment,
) -> None:
    async with saga.working():
        handle = await saga.place()
        await handle.result()
    history = await handle.fetch_history()
    kinds = [event.WhichOneof("attributes") for event in history.events]
    assert kinds.count("workflow_task_completed_event_attributes") == 1
    assert "activity_task_scheduled_event_attributes" not in kinds


async def test_an_order_for_more_than_there_is_is_rejected_and_holds_nothing(
    saga: SagaEnvironment,
) -> None:
    async with saga.working():
        handle = await saga.place(quantity=3)
        outcome = saga.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("rejected", "out-of-stock")
    assert "commit" not in saga.inventory.attempts
    assert saga.store.timeline(outcome.order_id) == ["rejected"]


async def test_a_reserve_that_fails_once_is_tried_durably_and_the_order_ships(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.expect("reserve", LOST_REQUEST)
    async with saga.working():
        handle = await saga.place()
        outcome = saga.check(await handle.result())
    assert outcome.status == "shipped"
    assert saga.inventory.attempts["reserve"] == [1, 2]
    assert saga.store.timeline(outcome.order_id) == [
        "waiting",
        "reserved",
        "ready_to_ship",
        "shipped",
    ]


async def test_every_answer_lost_once_leaves_one_effect_each(saga: SagaEnvironment) -> None:
    for operation in ("reserve", "commit"):
        saga.inventory.expect(operation, LOST_ANSWER, LOST_ANSWER)
    saga.store.lose = 2
    async with saga.working():
        handle = await saga.place(quantity=2)
        outcome = saga.check(await handle.result())
    assert outcome.status == "shipped"
    assert saga.inventory.attempts == {"reserve": [1, 2, 3], "commit": [1, 2, 3]}


async def test_a_reserve_that_is_away_for_an_hour_is_awaited(saga: SagaEnvironment) -> None:
    saga.inventory.be_away("reserve", HOUR)
    async with saga.working():
        handle = await saga.place()
        outcome = saga.check(await handle.result())
    assert outcome.status == "shipped"
    assert len(saga.inventory.attempts["reserve"]) > 200, "15 s apart at the most"


async def test_a_reserve_that_takes_over_a_day_fails_the_order_and_is_undone(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.retry_after = timedelta(hours=5)
    saga.inventory.be_away("reserve", timedelta(days=2))
    async with saga.working():
        handle = await saga.place()
        outcome = saga.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("failed", "reserve: TooLong")
    assert saga.inventory.states[outcome.order_id] == "released", "a late hold finds the tombstone"


async def test_a_reserve_refused_for_good_fails_the_order_and_is_released(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.expect("reserve", UNWORKABLE)
    async with saga.working():
        handle = await saga.place()
        outcome = saga.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("failed", "reserve: Unworkable")
    assert saga.inventory.attempts["release"] == [1]
    assert saga.store.timeline(outcome.order_id) == ["released", "failed"]


async def test_a_hold_that_somebody_released_fails_the_order_at_the_commit(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.be_away("commit", timedelta(minutes=1))
    async with saga.working():
        handle = await saga.place()
        order_id = (await saga.settled(handle)).order_id
        saga.inventory.states[order_id] = "released"
        saga.inventory.reserved.clear()
        outcome = await handle.result()
    assert (outcome.status, outcome.reason) == ("failed", "commit: AlreadyReleased")
    assert saga.inventory.states[order_id] == "released"
    saga.store.check(order_id, "failed")


async def test_a_commit_refused_for_good_gives_the_goods_back(saga: SagaEnvironment) -> None:
    saga.inventory.expect("commit", UNWORKABLE)
    async with saga.working():
        handle = await saga.place()
        outcome = saga.check(await handle.result())
    assert (outcome.status, outcome.reason) == ("failed", "commit: Unworkable")
    assert saga.inventory.on_hand["MUG"] == 2


async def test_a_release_refused_for_good_fails_the_order_and_asks_for_a_person(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.expect("commit", UNWORKABLE)
    saga.inventory.expect("release", UNWORKABLE)
    async with saga.working():
        handle = await saga.place()
        outcome = await handle.result()
    assert outcome.status == "failed"
    assert outcome.reason == "commit: Unworkable; release: Unworkable"
    [failed] = [event for event in saga.store.told.values() if event.type == "failed"]
    assert "Needs a person" in failed.detail["message"]


async def test_an_undo_that_fails_for_an_hour_still_ends_right(saga: SagaEnvironment) -> None:
    saga.inventory.expect("commit", UNWORKABLE)
    saga.inventory.be_away("release", HOUR)
    async with saga.working():
        handle = await saga.place()
        outcome = saga.check(await handle.result())
    assert outcome.status == "failed"
    assert saga.inventory.on_hand["MUG"] == 2
    assert len(saga.inventory.attempts["release"]) > 200


async def test_an_order_store_that_is_away_for_an_hour_gets_the_whole_story_afterwards(
    saga: SagaEnvironment,
) -> None:
    saga.store.away = HOUR
    async with saga.working():
        handle = await saga.place()
        outcome = saga.check(await handle.result())
    assert outcome.status == "shipped"
    assert saga.store.timeline(outcome.order_id) == ["reserved", "ready_to_ship", "shipped"]


async def test_a_shopper_is_told_reserved_only_when_the_order_store_says_so_too(
    saga: SagaEnvironment,
) -> None:
    saga.inventory.be_away("commit", HOUR)
    saga.store.away = timedelta(minutes=1)
    async with saga.working():
        handle = await saga.place()
        asked = asyncio.create_task(saga.settled(handle))
        await saga.env.sleep(timedelta(minutes=5))
        outcome = await asked
        assert (outcome.status, outcome.waiting_for) == ("reserved", "warehouse")
        assert saga.store.recorded[outcome.order_id].status == "reserved"
        assert saga.store.waiting_for[outcome.order_id] == "warehouse"
        outcome = saga.check(await handle.result())
    assert outcome.status == "shipped"


async def test_whoever_asks_after_the_end_gets_the_end(saga: SagaEnvironment) -> None:
    async with saga.working():
        handle = await saga.place()
        answer = await saga.settled(handle)
        assert answer == await handle.result()
        assert answer.status == "shipped"
