"""The limit of orders per minute is one per minute, whatever the clock does."""

import asyncio
import time

import pytest
import time_machine

from order_api.rate_limit import RateLimit
from service_kit.http.problems import Problem


async def test_a_clock_put_back_does_not_stretch_the_minute() -> None:
    now = time.time()
    with time_machine.travel(now, tick=False) as clock:
        limit = RateLimit(1)
        assert await places(limit)
        assert not await places(limit)
        clock.shift(-3600)
        assert await places(limit)
        assert not await places(limit)
        clock.shift(61)
        assert await places(limit)


async def test_who_depends_on_orders_that_turn_out_to_be_none_is_not_refused() -> None:
    limit = RateLimit(2)
    known = [await limit.take("alice") for _ in range(2)]
    waiting = [asyncio.create_task(limit.take("alice")) for _ in range(3)]
    assert await places(limit, "bob"), "it is no matter of his"
    for slot in known:
        slot.stored = False
        await limit.end(slot)
    done, still = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 2:
        more, still = await asyncio.wait(still, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    assert len(still) == 1, "one more than there may be"
    for task in done:
        await limit.end(task.result())
    with pytest.raises(Problem):
        await still.pop()


async def test_a_slot_given_back_late_is_none_of_the_next_minutes() -> None:
    with time_machine.travel(time.time(), tick=False) as clock:
        limit = RateLimit(1)
        late = await limit.take("alice")
        clock.shift(61)
        assert await places(limit)
        late.stored = False
        await limit.end(late)
        assert not await places(limit)


async def places(limit: RateLimit, customer: str = "alice") -> bool:
    """Store one order of this customer; False if it is refused."""
    try:
        await limit.end(await limit.take(customer))
    except Problem:
        return False
    return True
