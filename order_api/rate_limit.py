"""How many new orders one customer may place per minute, counted in this process."""

import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from service_kit.problems import Problem


class RateLimit:
    """Counts what must not exceed `per_minute` new orders of one customer."""

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._counts = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._counts)
        self._latest = time.time()

    async def count(self, customer: str) -> bool:
        """Count one order of `customer`; False if it is one too many."""
        now = time.time()
        if now < self._latest:  # a clock put back by an hour would make this minute last an hour
            await self._counts.reset()
        self._latest = now
        return await self._limiter.hit(self._item, customer)

    async def take_back(self, customer: str) -> None:
        """Uncount a request that turned out to repeat an order there was."""
        await self._limiter.hit(self._item, customer, cost=-1)

    def refusal(self) -> Problem:
        """Return the 429 for an order that is one too many."""
        return Problem(
            429,
            "too-many-requests",
            "Too many orders",
            f"More than {self._item.amount} new orders in a minute.",
            advice="This request stored nothing. Send it again, with the same Idempotency-Key, "
            "after the time in Retry-After.",
            headers={"Retry-After": "10"},
        )
