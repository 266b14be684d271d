"""SQL statements on orders. Parameters are arrays where one serves a whole batch.

Whether an order has ended, `order_rank` says: the database knows statuses of a later release that
has migrated it. Only the relay goes by the statuses of this one, which its index is made for.
"""

ACCEPT = """
WITH accepted AS (
    INSERT INTO orders (order_id, customer, idempotency_key, request_digest, total_minor,
                        currency, relay_at)
    SELECT order_id, customer, key, digest, total_minor, currency,
           now() + make_interval(secs => relay_in_s)
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::text[],
                $7::float8[])
         AS new (order_id, customer, key, digest, total_minor, currency, relay_in_s)
    ORDER BY order_id
    ON CONFLICT DO NOTHING
    RETURNING order_id, created_at
), lines AS (
    INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price_minor)
    SELECT order_id, line_no, sku, quantity, unit_price_minor
    FROM unnest($8::uuid[], $9::int[], $10::text[], $11::int[], $12::bigint[])
         AS line (order_id, line_no, sku, quantity, unit_price_minor)
    JOIN accepted USING (order_id)
), inserted_events AS (
    INSERT INTO order_events (order_id, key, type, at, detail)
    SELECT order_id, 'received', 'received', created_at, jsonb_build_object('message', $13::text)
    FROM accepted
)
SELECT order_id, created_at FROM accepted
"""

ORDER_COLUMNS = """
SELECT o.order_id, o.customer, o.request_digest, o.status, o.reason, o.waiting_for, o.total_minor,
       o.currency, o.created_at, o.updated_at, o.cancel_requested_at IS NOT NULL AS cancelling,
       order_rank(o.status) >= order_rank('shipped') AS settled,
       (SELECT jsonb_agg(jsonb_build_array(l.sku, l.quantity, l.unit_price_minor)
                         ORDER BY l.line_no)
        FROM order_lines l WHERE l.order_id = o.order_id) AS lines
"""
BY_IDS = f"{ORDER_COLUMNS} FROM orders o WHERE o.order_id = ANY ($1::uuid[])"

PRODUCTS = """
SELECT sku, name, description, unit_price_minor, currency, image_url
FROM products
WHERE listed AND ($1::text IS NULL OR sku > $1) AND ($2::text[] IS NULL OR sku = ANY ($2))
  AND ($3::text IS NULL OR sku ILIKE $3 OR name ILIKE $3)
ORDER BY sku LIMIT $4
"""
PRICES = """
SELECT sku, unit_price_minor, currency FROM products WHERE listed AND sku = ANY ($1::text[])
"""
EVENTS = """
SELECT seq, at, type, detail FROM order_events WHERE order_id = $1 AND seq > $2 ORDER BY seq
"""
# Counted for each order by itself: as a join, this may read the whole table.
ORDERS_WITH_NEW_EVENTS = """
SELECT order_id FROM unnest($1::uuid[], $2::bigint[]) AS seen (order_id, seq)
WHERE (SELECT count(*) FROM order_events e
       WHERE e.order_id = seen.order_id AND e.seq > seen.seq) > 0
"""

# The row is locked before the events get their numbers, so that within an order numbers grow in
# the order of commits and a reader who asks for "after n" misses nothing. A row that has ended
# does not move, and its story is complete.
RECORD = """
WITH updates AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
        AS updates (order_id, status, reason, waiting_for, at)
), moved AS (
    UPDATE orders o SET status = updates.status, reason = updates.reason,
           waiting_for = updates.waiting_for, updated_at = updates.at
    FROM updates
    WHERE o.order_id = updates.order_id
      AND (order_rank(updates.status) > order_rank(o.status)
           OR (updates.status = o.status AND order_rank(o.status) < order_rank('shipped')))
    RETURNING o.order_id
), inserted_events AS (
    INSERT INTO order_events (order_id, key, type, at, detail)
    SELECT happened.order_id, happened.key, happened.type, happened.at, happened.detail::jsonb
    FROM unnest($6::uuid[], $7::text[], $8::text[], $9::timestamptz[], $10::text[])
         WITH ORDINALITY AS happened (order_id, key, type, at, detail, n)
    JOIN moved USING (order_id)
    ORDER BY happened.n
    ON CONFLICT (order_id, key) DO NOTHING
)
SELECT order_id FROM moved
"""
STATUSES = "SELECT order_id, status, reason FROM orders WHERE order_id = ANY ($1)"
REQUEST_CANCEL = """
UPDATE orders SET cancel_requested_at = coalesce(cancel_requested_at, now()),
       relay_at = least(relay_at, now() + interval '3 seconds')
WHERE order_id = $1 AND order_rank(status) < order_rank('shipped') RETURNING order_id
"""
# Due times and leases are moments of the database's clock, and an administrator, or a failover to
# another machine, may put that back. $1 is the earliest that it can be now if nobody has (NULL: it
# has not been read yet). What is further ahead than $2 nobody has set with a clock that was right.
CORRECT_DUE_TIMES = """
WITH clock AS (
    SELECT now() AS at, greatest($1::timestamptz - now(), interval '0') AS back,
           make_interval(secs => $2) AS furthest
), moved AS (
    UPDATE orders SET relay_at = CASE WHEN relay_at > at + furthest THEN at
                                      ELSE greatest(at, relay_at - back) END
    FROM clock
    WHERE status IN ('received', 'reserved')
      AND relay_at > at + CASE WHEN back > interval '0' THEN interval '0' ELSE furthest END
)
SELECT at, extract(epoch FROM back)::float8 AS back_s FROM clock
"""
CLAIM_DUE = """
UPDATE orders o SET relay_at = now() + make_interval(secs => $2)
FROM (
    SELECT order_id FROM orders
    WHERE status IN ('received', 'reserved') AND relay_at <= now()
    ORDER BY relay_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
) due
WHERE o.order_id = due.order_id
RETURNING o.order_id, o.cancel_requested_at IS NOT NULL AS cancelling,
    (SELECT jsonb_agg(jsonb_build_array(l.sku, l.quantity, l.unit_price_minor) ORDER BY l.line_no)
     FROM order_lines l WHERE l.order_id = o.order_id) AS lines
"""
RELAY_LATER = """
UPDATE orders SET relay_at = now() + make_interval(secs => $2)
WHERE order_id = ANY ($1) AND status IN ('received', 'reserved') RETURNING order_id
"""
RELAY_NOW = """
UPDATE orders SET relay_at = now()
WHERE order_id = ANY ($1) AND status IN ('received', 'reserved') AND relay_at > now()
RETURNING order_id
"""
# Further ahead than a lease is only what the relay has seen to be at work.
AT_WORK = """
SELECT coalesce(array_agg(order_id), '{}') FROM orders
WHERE status IN ('received', 'reserved') AND relay_at > now() + interval '20 seconds'
"""
# Counted no further than that: an outage piles up orders, and its probes must not go down with it.
BACKLOG = """
SELECT count(*) AS due,
       greatest(extract(epoch FROM now() - min(relay_at)), 0)::float8 AS oldest_s
FROM (
    SELECT relay_at FROM orders WHERE status IN ('received', 'reserved')
    ORDER BY relay_at LIMIT 100000
) unsettled
WHERE relay_at <= now() OR relay_at > now() + make_interval(secs => $1)
"""
