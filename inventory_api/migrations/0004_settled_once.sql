-- What an order holds of a SKU is committed or released, never both.

-- The promise as a key: whoever comes second loses, rolls back and asks again.
CREATE UNIQUE INDEX movements_settled_once ON movements (order_id, sku)
    WHERE operation IN ('commit', 'release');

-- As in 0002, but the states are read by the statement that locks them. Read by a later one, a
-- hold made in between was seen without being locked, by a commit and a release alike.
CREATE OR REPLACE FUNCTION settle_many(orders uuid[], target text)
RETURNS TABLE (place int, outcome text) LANGUAGE plpgsql AS $$
DECLARE
    befores text[];
    settled uuid[];
BEGIN
    -- A hold that is being written right now is not in this list; its unique key makes the
    -- tombstone below fail, and the caller asks again.
    PERFORM 1 FROM stock
    WHERE sku IN (
        SELECT m.sku FROM movements m
        JOIN reservations r USING (order_id)
        WHERE m.order_id = ANY (orders) AND m.operation = 'reserve' AND r.state = 'held'
    )
    ORDER BY sku FOR NO KEY UPDATE;

    WITH locked AS MATERIALIZED (
        SELECT order_id, state FROM reservations WHERE order_id = ANY (orders)
        ORDER BY order_id FOR NO KEY UPDATE
    )
    SELECT array_agg(r.state ORDER BY o.n),
           array_agg(o.order_id) FILTER (WHERE r.state = 'held')
    INTO befores, settled
    FROM unnest(orders) WITH ORDINALITY o (order_id, n)
    LEFT JOIN locked r USING (order_id);

    IF target = 'released' THEN
        INSERT INTO reservations (order_id, state)
        SELECT o.order_id, 'released' FROM unnest(orders) WITH ORDINALITY o (order_id, n)
        WHERE befores[o.n] IS NULL ORDER BY o.order_id;
    END IF;

    IF settled IS NOT NULL THEN
        UPDATE reservations SET state = target, updated_at = now() WHERE order_id = ANY (settled);

        WITH moved AS (
            INSERT INTO movements (order_id, sku, operation, quantity)
            SELECT order_id, sku, CASE target WHEN 'committed' THEN 'commit' ELSE 'release' END,
                   quantity
            FROM movements WHERE order_id = ANY (settled) AND operation = 'reserve'
            RETURNING sku, quantity
        )
        UPDATE stock
        SET reserved = reserved - gone.quantity,
            on_hand = on_hand - CASE target WHEN 'committed' THEN gone.quantity ELSE 0 END,
            updated_at = now()
        FROM (SELECT sku, sum(quantity) AS quantity FROM moved GROUP BY sku) gone
        WHERE stock.sku = gone.sku;
    END IF;

    RETURN QUERY SELECT n, befores[n] FROM generate_series(1, cardinality(orders)) n;
END
$$;
