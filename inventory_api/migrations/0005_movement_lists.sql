-- concurrently
-- Every list of movements reads its page from an index, however long the ledger has grown.

CREATE INDEX CONCURRENTLY IF NOT EXISTS movements_of_sku
    ON movements (sku, operation, movement_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS movements_of_operation
    ON movements (operation, movement_id);

-- A key is looked up by itself now. The same promise, the other way round.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS movements_once_per_key
    ON movements (restock_key, sku) WHERE restock_key IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS movements_once_per_restock;
