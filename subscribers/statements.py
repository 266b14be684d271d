"""SQL statements of the subscribers: order events in commit order, and their cursors."""

# Transactions that can write no order event, however long they stay open: those of subscribers,
# which write none, and those of other databases, which cannot reach ours. Whose a transaction is
# counts only when the server says so; of one that nobody claims, the worst is assumed.
#
# Hazards. Both views show what is now and not what the snapshot saw, so they have to be read after
# it was taken: never run this inside a transaction, which would keep an older copy of them. And a
# slot of a prepared transaction may change hands between the reading of its two columns. Then the
# one that was read first has ended, and a second reading does not find it any more. (A join, for
# the planner takes the same condition twice for one.)
_PREPARED_ELSEWHERE = """
SELECT once.transaction FROM pg_prepared_xacts once JOIN pg_prepared_xacts again USING (transaction)
WHERE once.database <> current_database() AND again.database <> current_database()
"""
_HORIZON = f"""
in_the_way AS (
    SELECT xid FROM pg_snapshot_xip(pg_current_snapshot()) AS xid
    WHERE xid::xid NOT IN (SELECT backend_xid FROM pg_stat_activity
                           WHERE backend_xid IS NOT NULL AND (
                               application_name = 'subscribers' OR datname <> current_database()))
      AND xid::xid NOT IN ({_PREPARED_ELSEWHERE})
), horizon AS (
    SELECT coalesce(min(xid), pg_snapshot_xmax(pg_current_snapshot())) AS tx FROM in_the_way
)
"""  # noqa: S608  constants of this module

# Events of transactions that are still open, or younger than one that is, are not handed out: they
# might be followed by one with a smaller number. One row at least, so that lag is known without
# any: `behind_s` is the age of the first event not taken yet, `held_s` that of the first which
# the horizon keeps back, both null without one. Events restored from another cluster have to be
# given new places first (migration 0004).
_LAG = """
LEFT JOIN LATERAL (
    SELECT seq, greatest(extract(epoch FROM now() - at), 0)::float8 AS behind_s
    FROM order_events
    WHERE (tx, seq) > (c.tx, c.seq) ORDER BY tx, seq LIMIT 1
) next ON true
LEFT JOIN LATERAL (
    SELECT seq AS held_seq, greatest(extract(epoch FROM now() - at), 0)::float8 AS held_s
    FROM order_events
    WHERE (tx, seq) > (c.tx, c.seq) AND tx >= horizon.tx ORDER BY tx, seq LIMIT 1
) held ON true
"""
NEXT = f"""
WITH {_HORIZON}
SELECT foreign_events, next.behind_s, next.seq AS next_seq, held.held_s, held.held_seq, event.*
FROM subscriber_cursors c CROSS JOIN horizon
CROSS JOIN events_of_another_cluster() AS foreign_events
{_LAG}
LEFT JOIN LATERAL (
    SELECT e.tx::text AS tx, e.seq, e.order_id, o.customer, e.type, e.at, e.detail
    FROM order_events e JOIN orders o USING (order_id)
    WHERE (e.tx, e.seq) > (c.tx, c.seq) AND e.tx < horizon.tx AND NOT foreign_events
    ORDER BY e.tx, e.seq LIMIT $2
) event ON true
WHERE c.subscriber = $1
ORDER BY event.tx::xid8, event.seq
"""  # noqa: S608  constants of this module

# `holder` is who has the oldest transaction in the way. Most of another role's session is hidden
# from ours, but not this much.
PROGRESS = f"""
WITH {_HORIZON}, holder AS (
    SELECT format('process %s (%s, role %s)', pid, coalesce(nullif(application_name, ''), '?'),
                  usename) AS name
    FROM pg_stat_activity WHERE backend_xid = (SELECT min(xid) FROM in_the_way)::xid
    UNION ALL
    SELECT format('the prepared transaction %L of role %s', gid, owner)
    FROM pg_prepared_xacts WHERE transaction = (SELECT min(xid) FROM in_the_way)::xid
    LIMIT 1
)
SELECT c.seq, c.failures, next.seq AS next_seq, next.behind_s, held.held_s,
       (SELECT name FROM holder) AS holder
FROM subscriber_cursors c CROSS JOIN horizon
{_LAG}
WHERE c.subscriber = $1
"""  # noqa: S608  constants of this module

# A million restored events take about a minute, and whoever else wants to adopt them waits.
TAKE_TIME = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"
REGISTER = "INSERT INTO subscriber_cursors (subscriber) VALUES ($1) ON CONFLICT DO NOTHING"
LOCK = """
SELECT (tx, seq) < ($2::text::xid8, $3::bigint) FROM subscriber_cursors
WHERE subscriber = $1 FOR NO KEY UPDATE
"""
ADVANCE = """
UPDATE subscriber_cursors SET tx = $2::text::xid8, seq = $3, failures = 0, last_error = NULL,
       updated_at = now()
WHERE subscriber = $1
"""
FAILURE = """
UPDATE subscriber_cursors SET failures = failures + 1, last_error = $2, updated_at = now()
WHERE subscriber = $1
"""
