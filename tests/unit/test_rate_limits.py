"""The limit of orders per minute is one per minute, whatever the clock does."""

import time

import time_machine

from order_api.rate_limit import RateLimit


async def test_a_clock_put_back_does_not_stretch_the_minute() -> None:
    now = time.time()
    with time_machine.travel(now, tick=False) as clock:
        limit = RateLimit(1)
        assert await limit.count("alice")
        assert not await limit.count("alice")
        clock.shift(-3600)
        assert await limit.count("alice")
        assert not await limit.count("alice")
        clock.shift(61)
        assert await limit.count("alice")
