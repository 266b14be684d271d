-- concurrently
-- Every list of orders reads its page from an index, however many orders there are. Three indexes
-- take the place of three: an order costs as many index entries as before.

-- All lists are merged from one sorted list for each status.
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_by_status
    ON orders (status, created_at, order_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_of_customer_by_status
    ON orders (customer, status, created_at, order_id);
DROP INDEX CONCURRENTLY IF EXISTS orders_newest;
DROP INDEX CONCURRENTLY IF EXISTS orders_of_customer;

-- Orders with a SKU. The promise of each_sku_once (next file), the other way round.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS order_lines_each_sku_once
    ON order_lines (sku, order_id);
