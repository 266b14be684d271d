"""Figures for operations over all orders, read from the database at most once a second."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from order_api.contracts import OperationsSummary
from order_api.db.order_lists import EACH_STATUS
from order_api.db.store import MAX_RELAY_DELAY_S
from order_api.metrics import show_summary
from order_api.response_time import ResponseTimes
from service_kit.postgres.pool import POSTGRES_ERRORS, Pool, within

SINCE_S = 300.0
RATE_S = 10.0
SHARED_FOR_S = 0.9
READ_DEADLINE_S = 0.8
GAUGES_EVERY_S = 5.0


class OldestOpen:
    """Tells how old the oldest open order is at least, without a clock that can be put back.

    Orders are told apart by the number of their first event. As long as one is open that was
    there when we began to watch, the oldest is at least as old as our watch.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self.number = 0  # the newest event at that moment

    def age(self, newest: int, *, still_open: bool) -> float:
        """Return seconds, given whether an order up to `number` is open; if not, begin anew."""
        if not still_open:
            self._since, self.number = self._clock(), newest
        return self._clock() - self._since


class Operations:
    """Reads the figures at most once a second, however many ask."""

    def __init__(self, pool: Pool, response_times: ResponseTimes) -> None:
        self._pool = pool
        self._response_times = response_times
        self._oldest_open = OldestOpen()
        self._reading = asyncio.Lock()
        self._read_at = -SHARED_FOR_S
        self._last: OperationsSummary | None = None

    async def summary(self) -> OperationsSummary:
        """Return the figures, at most a second old; the response time is always of this moment."""
        async with self._reading:
            if self._last is None or time.monotonic() - self._read_at >= SHARED_FOR_S:
                self._last = await self._read()
                show_summary(self._last)
                self._read_at = time.monotonic()
            return self._last.model_copy(update={"response_time": self._response_times.read()})

    async def keep_reading(self) -> None:
        """Read now and then for ever, so that the gauges are true when nobody asks."""
        while True:
            with contextlib.suppress(*POSTGRES_ERRORS):
                await self.summary()
            await asyncio.sleep(GAUGES_EVERY_S)

    async def _read(self) -> OperationsSummary:
        async with within(self._pool, READ_DEADLINE_S) as connection:
            recent = await connection.fetch(RECENT, SINCE_S, RATE_S)
            unsettled = await connection.fetchrow(UNSETTLED, MAX_RELAY_DELAY_S)
            numbers = await connection.fetchrow(NUMBERS, self._oldest_open.number)
        assert unsettled is not None  # an aggregate without GROUP BY always has one row
        assert numbers is not None
        at_least_s = self._oldest_open.age(numbers["newest"], still_open=numbers["still_open"])
        return OperationsSummary(
            at=datetime.now(UTC),
            response_time=self._response_times.read(),
            latency=self._response_times.percentiles(),
            since_s=SINCE_S,
            rate_s=RATE_S,
            by_status={row["status"]: row["orders"] for row in recent},
            accepted_per_s=sum(row["accepted"] for row in recent) / RATE_S,
            settled_per_s=sum(row["settled"] for row in recent) / RATE_S,
            unfinished=unsettled["unfinished"],
            waiting=unsettled["waiting"],
            oldest_unfinished_s=max(unsettled["oldest_s"], at_least_s),
            ahead_of_clock=unsettled["ahead"],
            relay_backlog=unsettled["due"],
            relay_oldest_s=unsettled["due_s"],
        )


# The first reads only the newest orders of each status. The second reads the open ones in the
# order in which they are due, and counts no further than a number at which nobody counts on.
_RECENT_OF_EACH = """
SELECT each.status, recent.*
FROM each CROSS JOIN LATERAL (
    SELECT count(*) AS orders,
           count(*) FILTER (WHERE o.created_at > now() - make_interval(secs => $2)) AS accepted,
           count(*) FILTER (WHERE o.updated_at > now() - make_interval(secs => $2)
                            AND order_rank(o.status) >= order_rank('shipped')) AS settled
    FROM orders o
    WHERE o.status = each.status
      AND o.created_at > now() - make_interval(secs => $1) AND o.created_at <= now()
) recent
WHERE recent.orders > 0
"""
RECENT = f"{EACH_STATUS} {_RECENT_OF_EACH}"
UNSETTLED = """
SELECT count(*) AS unfinished, count(waiting_for) AS waiting,
       count(*) FILTER (WHERE created_at > now() + interval '1 second') AS ahead,
       greatest(extract(epoch FROM now() - least(
           (SELECT min(created_at) FROM orders WHERE status = 'received'),
           (SELECT min(created_at) FROM orders WHERE status = 'reserved')
       )), 0)::float8 AS oldest_s,
       count(*) FILTER (WHERE relay_at <= now() OR relay_at > now() + make_interval(secs => $1))
           AS due,
       greatest(extract(epoch FROM now() - min(relay_at)), 0)::float8 AS due_s
FROM (
    SELECT waiting_for, created_at, relay_at FROM orders WHERE status IN ('received', 'reserved')
    ORDER BY relay_at LIMIT 100000
) unsettled
"""
# By index, order for order: a join might choose to read all events there are.
NUMBERS = """
SELECT (SELECT coalesce(max(seq), 0) FROM order_events) AS newest, EXISTS (
    SELECT FROM orders o WHERE o.status IN ('received', 'reserved') AND $1 >= (
        SELECT e.seq FROM order_events e WHERE e.order_id = o.order_id AND e.key = 'received')
) AS still_open
"""
