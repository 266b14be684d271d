"""Section `flat`: what an order costs when a million went before, on two stacks in turn."""

from bench.harness.load import Answers
from bench.harness.results import Row, at_least
from bench.harness.stack import Harness, Plan, harness
from bench.sections.throughput import full_rate

BAR = 0.9
ORDERS = 1_000_000
CONCURRENCY = 32
_CHUNK = 100_000

# What an order leaves behind when it has shipped, without its hours: the same rows, in bulk.
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
_RESERVATIONS = """
WITH number AS (SELECT md5('bench' || n)::uuid AS order_id
                FROM generate_series($1::int, $2::int) n),
     held AS (
    INSERT INTO reservations (order_id, state, request_digest)
    SELECT order_id, 'committed', '\\x00' FROM number)
INSERT INTO movements (order_id, sku, operation, quantity)
SELECT order_id, 'MUG-SAND', operation, 1 FROM number, unnest(ARRAY['reserve', 'commit']) operation
"""
# The subscribers have read all that; what is measured is orders, not their catching up.
_READ_BY_ALL = "UPDATE subscriber_cursors SET tx = pg_current_xact_id(), seq = 0"


async def _fill(full: Harness, plan: Plan, orders: int) -> None:
    for name, sql in (("orders", _ORDERS), ("inventory", _RESERVATIONS)):
        async with full.database(name) as connection:
            for first in range(1, orders, _CHUNK):
                plan.say(f"{name}: {first - 1:,} of {orders:,} in place")
                await connection.execute(sql, first, first + _CHUNK - 1, timeout=600)
            if name == "orders":
                await connection.execute(_READ_BY_ALL)
            await connection.execute("VACUUM ANALYZE", timeout=600)


async def table_size(plan: Plan) -> list[Row]:
    """Measure the rate with and without a million orders, A B B A."""
    orders = ORDERS // 10 if plan.quick else ORDERS
    seconds = plan.seconds(15)
    async with harness(plan) as empty, harness(plan) as full:
        await full.stack.stop("subscribers")
        await _fill(full, plan, orders)
        await full.stack.start("subscribers")
        await full.stack.wait_ready("subscribers")
        rates: dict[str, list[float]] = {"empty": [], "full": []}
        for which in (empty, full):
            await full_rate(which, CONCURRENCY, 1.0, plan.seconds(5))
        for name in ("empty", "full", "full", "empty"):
            plan.say(f"orders/s, {name} database")
            answers: Answers
            answers, _ = await full_rate(
                empty if name == "empty" else full, CONCURRENCY, plan.seconds(3), seconds
            )
            rates[name].append(answers.rate)
    without, with_them = (sum(rates[name]) / 2 for name in ("empty", "full"))
    ratio = with_them / without
    return plan.report(
        [
            Row("flat", "without orders in the database", without, "orders/s"),
            Row("flat", f"with {orders:,}", with_them, "orders/s"),
            Row("flat", "with / without", ratio, "", **at_least(BAR, "", ratio)),
        ]
    )
