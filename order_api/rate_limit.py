"""Limit of new orders per customer and minute, counted in this process."""

import asyncio
import time
from collections import defaultdict

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from service_kit.http.problems import Problem


class Slot:
    """One order in its place within the limit, kept until its end is known."""

    def __init__(self, customer: str, until: float) -> None:
        self.customer = customer
        self.until = until  # the minute that it was counted in
        self.stored = True  # or may be, until somebody knows better
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class RateLimit:
    """Counts what must not exceed `per_minute` new orders of one customer."""

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._counts = MemoryStorage()
        self._limiter = FixedWindowRateLimiter(self._counts)
        self._latest = time.time()
        self._in_flight: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    async def take(self, customer: str) -> Slot:
        """Return a slot for one order of `customer`; raise the 429 if it is one too many.

        Waits if that depends on orders that may turn out to be none. `end` has to follow.
        """
        while not await self._count(customer):
            await self._uncount(customer)
            if customer not in self._in_flight:
                raise self._refusal()
            await asyncio.wait(self._in_flight[customer], return_when=asyncio.FIRST_COMPLETED)
        slot = Slot(customer, await self._until(customer))
        self._in_flight[customer].add(slot.ended)
        return slot

    async def end(self, slot: Slot) -> None:
        """Give `slot` back unless an order is stored, or may be; who waits for it goes on."""
        if not slot.stored and slot.until == await self._until(slot.customer):
            await self._uncount(slot.customer)
        others = self._in_flight[slot.customer]
        others.discard(slot.ended)
        if not others:
            del self._in_flight[slot.customer]
        slot.ended.set_result(None)

    async def _count(self, customer: str) -> bool:
        now = time.time()
        if now < self._latest:  # a clock put back by an hour would make this minute last an hour
            await self._counts.reset()
        self._latest = now
        return await self._limiter.hit(self._item, customer)

    async def _uncount(self, customer: str) -> None:
        await self._counts.decr(self._item.key_for(customer))

    async def _until(self, customer: str) -> float:
        """Return when the minute that is counted now is over; no earlier one's end is equal."""
        key = self._item.key_for(customer)
        await self._counts.get(key)  # forgets a minute that is over
        return await self._counts.get_expiry(key)

    def _refusal(self) -> Problem:
        return Problem(
            429,
            "too-many-requests",
            "Too many orders",
            f"More than {self._item.amount} new orders in a minute.",
            advice="This request stored nothing. Send it again, with the same Idempotency-Key, "
            "after the time in Retry-After.",
            headers={"Retry-After": "10"},
        )
