"""Figures of all orders for operations, read at a bounded cost however many orders there are."""

from dataclasses import dataclass

from order_api.db.order_lists import EACH_STATUS
from service_kit.postgres.pool import Connection


@dataclass(frozen=True, slots=True)
class Figures:
    """How many orders are where, now; ages in seconds.

    `by_status` counts the orders of the last `since_s` seconds; `accepted` and `settled` are of the
    last `rate_s`. `watched_is_open`: an order up to the watched event's number is open.
    """

    by_status: dict[str, int]
    accepted: int
    settled: int
    unfinished: int
    waiting: int
    ahead_of_clock: int
    oldest_s: float
    due: int
    due_s: float
    newest_event: int
    watched_is_open: bool


async def read(
    connection: Connection,
    *,
    since_s: float,
    rate_s: float,
    max_relay_delay_s: float,
    watched_event: int,
) -> Figures:
    """Return the figures of this moment."""
    recent = await connection.fetch(RECENT, since_s, rate_s)
    unsettled = await connection.fetchrow(UNSETTLED, max_relay_delay_s)
    numbers = await connection.fetchrow(NUMBERS, watched_event)
    assert unsettled is not None  # an aggregate without GROUP BY always has one row
    assert numbers is not None
    return Figures(
        by_status={row["status"]: row["orders"] for row in recent},
        accepted=sum(row["accepted"] for row in recent),
        settled=sum(row["settled"] for row in recent),
        unfinished=unsettled["unfinished"],
        waiting=unsettled["waiting"],
        ahead_of_clock=unsettled["ahead"],
        oldest_s=unsettled["oldest_s"],
        due=unsettled["due"],
        due_s=unsettled["due_s"],
        newest_event=numbers["newest"],
        watched_is_open=numbers["still_open"],
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
