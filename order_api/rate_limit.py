"""How many orders one customer may place per minute, counted in this process."""

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from service_kit.problems import Problem


class RateLimit:
    """Refuses with 429 what exceeds `per_minute` orders of one customer."""

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def count(self, customer: str) -> None:
        """Count one order of `customer`; a 429 problem if it is one too many."""
        if not await self._limiter.hit(self._item, customer):
            raise Problem(
                429,
                "too-many-requests",
                "Too many orders",
                f"More than {self._item.amount} orders in a minute.",
                advice="Nothing was stored. Send it again after the time in Retry-After.",
                headers={"Retry-After": "10"},
            )
