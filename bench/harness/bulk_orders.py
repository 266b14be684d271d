"""Many orders at once: the same rows that they leave behind one by one, without their hours."""

from bench.harness.stack import Harness, Plan
from deploy.local.services import SUBSCRIBERS

_CHUNK = 100_000
_WITHIN_S = 600.0

_ORDERS = """
WITH number AS (SELECT n, md5('bench' || n)::uuid AS order_id,
                       now() - make_interval(secs => $2 - n) AS at
                FROM generate_series($1::int, $2::int) n),
     placed AS (
    INSERT INTO orders (order_id, customer, idempotency_key, request_digest, status, total_minor,
                        currency, created_at, updated_at, relay_at)
    SELECT order_id, 'bulk-' || n % 1000, 'bulk-' || n, '\\x00', 'shipped', 1490, 'EUR', at, at, at
    FROM number),
     lines AS (
    INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price_minor)
    SELECT order_id, 1, 'MUG-SAND', 1, 1490 FROM number)
INSERT INTO order_events (order_id, key, type, at, detail)
SELECT order_id, type, type, at, '{"message": "As it was told then."}'
FROM number, unnest(ARRAY['received', 'reserved', 'ready_to_ship', 'shipped']) AS type
"""
# As many pieces come as go: the shelf stays as it is, and its ledger adds up.
_RESERVATIONS = """
WITH number AS (SELECT md5('bench' || n)::uuid AS order_id
                FROM generate_series($1::int, $2::int) n),
     held AS (
    INSERT INTO reservations (order_id, state, request_digest)
    SELECT order_id, 'committed', '\\x00' FROM number)
INSERT INTO movements (order_id, sku, operation, quantity, restock_key)
SELECT NULL, 'MUG-SAND', 'restock', $2::int - $1::int + 1, 'bulk-' || $1::int
UNION ALL
SELECT order_id, 'MUG-SAND', operation, 1, NULL
FROM number, unnest(ARRAY['reserve', 'commit']) operation
"""
# The subscribers have read all that; what is measured is orders, not their catching up.
_READ_BY_ALL = "UPDATE subscriber_cursors SET tx = pg_current_xact_id(), seq = 0"


async def fill(harness: Harness, plan: Plan, first: int, last: int) -> None:
    """Have the orders numbered from `first` to `last` shipped, and read by the subscribers."""
    has_subscribers = SUBSCRIBERS in harness.stack.processes
    if has_subscribers:
        await harness.stack.stop(SUBSCRIBERS)
    for name, sql in (("orders", _ORDERS), ("inventory", _RESERVATIONS)):
        async with harness.database(name) as connection:
            for number in range(first, last + 1, _CHUNK):
                plan.say(f"{name}: {number - 1:,} of {last:,} in place")
                end = min(number + _CHUNK - 1, last)
                await connection.execute(sql, number, end, timeout=_WITHIN_S)
            if name == "orders":
                await connection.execute(_READ_BY_ALL)
            await connection.execute("VACUUM ANALYZE", timeout=_WITHIN_S)
    if has_subscribers:
        await harness.stack.start(SUBSCRIBERS)
        await harness.stack.wait_ready(SUBSCRIBERS)
