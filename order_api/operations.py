"""Figures for operations over all orders, read from the database at most once a second."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime

from order_api.contracts import OperationsSummary
from order_api.db.store import Store
from order_api.metrics import show_summary
from order_api.response_time import ResponseTimes
from service_kit.postgres.pool import POSTGRES_ERRORS
from service_kit.single_flight import SingleFlight

SINCE_S = 300.0
RATE_S = 10.0
SHARED_FOR_S = 0.9
GAUGES_EVERY_S = 5.0


class OldestOpen:
    """Tells how old the oldest open order is at least, without a clock that can be put back.

    Orders are told apart by the number of their first event. As long as one is open that was
    there when we began to watch, the oldest is at least as old as our watch.
    """

    def __init__(self) -> None:
        self._since = time.monotonic()
        self.number = 0  # the newest event at that moment

    def age(self, newest: int, *, still_open: bool) -> float:
        """Return seconds, given whether an order up to `number` is open; if not, begin anew."""
        if not still_open:
            self._since, self.number = time.monotonic(), newest
        return time.monotonic() - self._since


class Operations:
    """Reads the figures at most once a second, however many ask."""

    def __init__(self, store: Store, response_times: ResponseTimes) -> None:
        self._store = store
        self._response_times = response_times
        self._oldest_open = OldestOpen()
        self._summary = SingleFlight(self._read, SHARED_FOR_S)

    async def summary(self) -> OperationsSummary:
        """Return the figures, at most a second old; the response time is always of this moment."""
        summary = await self._summary.get()
        return summary.model_copy(update={"response_time": self._response_times.read()})

    async def keep_reading(self) -> None:
        """Read now and then for ever, so that the gauges are true when nobody asks."""
        while True:
            with contextlib.suppress(*POSTGRES_ERRORS):
                await self.summary()
            await asyncio.sleep(GAUGES_EVERY_S)

    async def _read(self) -> OperationsSummary:
        found = await self._store.figures(SINCE_S, RATE_S, self._oldest_open.number)
        at_least_s = self._oldest_open.age(found.newest_event, still_open=found.watched_is_open)
        summary = OperationsSummary(
            at=datetime.now(UTC),
            response_time=self._response_times.read(),
            latency=self._response_times.percentiles(),
            since_s=SINCE_S,
            rate_s=RATE_S,
            by_status=found.by_status,
            accepted_per_s=found.accepted / RATE_S,
            settled_per_s=found.settled / RATE_S,
            unfinished=found.unfinished,
            waiting=found.waiting,
            oldest_unfinished_s=max(found.oldest_s, at_least_s),
            ahead_of_clock=found.ahead_of_clock,
            relay_backlog=found.due,
            relay_oldest_s=found.due_s,
        )
        show_summary(summary)
        return summary
