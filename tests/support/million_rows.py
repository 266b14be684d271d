"""A million orders, or movements, made by the server itself, with the skew of a real shop.

Ten years of a bestseller, a product that was popular long ago, one that hardly anybody bought, one
customer with half of all orders, and failures that all lie far back.
"""

from deploy.local.postgres.connection import connected

MANY = 1_000_000
BULK = "bulk buyer"
RARE, BESTSELLER, FORGOTTEN = "DEAD-BEEF", "MUG-BLUE", "CAFE-2024"

ORDERS = """
INSERT INTO orders (order_id, customer, idempotency_key, request_digest, status, total_minor,
                    currency, created_at, updated_at, relay_at)
SELECT (lpad(to_hex(n * 4294::bigint), 8, '0') || right(md5(n::text), 24))::uuid,
       CASE n % 2 WHEN 0 THEN 'bulk buyer' ELSE 'customer ' || n % 9973 END,
       n::text, '\\x00',
       CASE WHEN n <= 500 THEN 'failed' WHEN n > 1000000 - 100 THEN 'received'
            WHEN n % 1000 = 0 THEN 'rejected' ELSE 'shipped' END,
       100, 'EUR', at, at, at
FROM (SELECT n, now() - make_interval(secs => (1000000 - n) * 300) AS at
      FROM generate_series(1, 1000000) n) made
"""
LINES = """
INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price_minor)
SELECT (lpad(to_hex(n * 4294::bigint), 8, '0') || right(md5(n::text), 24))::uuid, 1,
       CASE WHEN n % 200000 = 7 THEN 'DEAD-BEEF' WHEN n <= 50000 THEN 'CAFE-2024'
            ELSE 'MUG-BLUE' END, 1, 100
FROM generate_series(1, 1000000) n
"""
PRODUCTS = """
INSERT INTO products (sku, name, description, unit_price_minor, currency, image_url, listed)
VALUES ('DEAD-BEEF', 'Steak', '', 100, 'EUR', '', true),
       ('CAFE-2024', 'Old hit', '', 100, 'EUR', '', false)
"""
STOCK = """
INSERT INTO stock (sku, on_hand)
VALUES ('MUG-BLUE', 9), ('DEAD-BEEF', 9), ('CAFE-2024', 9)
"""
MOVEMENTS = """
INSERT INTO movements (order_id, sku, operation, quantity, restock_key)
SELECT CASE WHEN n > 10 THEN lpad(to_hex(n / 2), 32, '0')::uuid END,
       CASE WHEN n % 5 = 4 AND n < 50 THEN 'DEAD-BEEF' ELSE 'MUG-BLUE' END,
       CASE WHEN n <= 10 THEN 'restock' WHEN n % 2 = 0 THEN 'reserve' ELSE 'commit' END, 1,
       CASE WHEN n <= 10 THEN 'key ' || n END
FROM generate_series(1, 1000000) n
"""
# What is not a constraint is quicker to build afterwards than to keep.
LOOSE_INDEXES = """
SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relname = ANY ($1) AND NOT EXISTS (
    SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
"""


async def fill(admin_dsn: str, tables: list[str], *statements: str) -> None:
    """Run the statements, with nothing that a bulk load does not need; then gather statistics."""
    async with connected(admin_dsn) as connection:
        await connection.execute("""
            SET session_replication_role = replica; SET synchronous_commit = off;
            SET maintenance_work_mem = '128MB'; SET max_parallel_maintenance_workers = 0;
        """)
        indexes = await connection.fetch(LOOSE_INDEXES, tables)
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['name']}")
        for statement in statements:
            await connection.execute(statement)
        for index in indexes:
            await connection.execute(index["definition"])
        for table in tables:
            await connection.execute(f"VACUUM (ANALYZE) {table}")
