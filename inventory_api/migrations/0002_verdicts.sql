-- Reserve, commit and release for many orders in one round trip and one transaction.
--
-- Every function takes its locks in the same order, stock rows by SKU and then reservations by
-- order id, so two of them can wait for each other but never in a circle. Each statement below
-- has a snapshot of its own (READ COMMITTED, VOLATILE): what a lock waited for is seen.
-- Callers pass each order id at most once per call.

-- Lines come flattened: line i belongs to the order at position line_of[i] of `orders`.
-- `outcome` is the state the order had before (held, committed, released, refused: the request
-- is a copy), or what was decided now: 'now held', 'now refused'; 'other lines' when the order
-- was first asked for with different lines.
CREATE FUNCTION reserve_many(
    orders uuid[], digests bytea[], line_of int[], line_sku text[], line_quantity bigint[]
) RETURNS TABLE (place int, outcome text, shortage jsonb) LANGUAGE plpgsql AS $$
DECLARE
    skus      text[];
    free      bigint[];
    shelf     int[];             -- shelf[i]: position of line i's SKU in `skus`, NULL if unknown
    outcomes  text[] := array_fill(NULL::text, ARRAY[cardinality(orders)]);
    shortages jsonb[] := array_fill(NULL::jsonb, ARRAY[cardinality(orders)]);
    first     int := 1;
    last      int;
    spot      int;
BEGIN
    SELECT array_agg(s.sku), array_agg(s.on_hand - s.reserved) INTO skus, free
    FROM (
        SELECT sku, on_hand, reserved FROM stock
        WHERE sku = ANY (line_sku) ORDER BY sku FOR NO KEY UPDATE
    ) s;

    SELECT array_agg(CASE WHEN r.request_digest <> digests[o.n] THEN 'other lines'
                          ELSE r.state END ORDER BY o.n),
           array_agg(r.shortages ORDER BY o.n)
    INTO outcomes, shortages
    FROM unnest(orders) WITH ORDINALITY o (order_id, n)
    LEFT JOIN reservations r USING (order_id);

    SELECT array_agg(array_position(skus, l.sku) ORDER BY l.n) INTO shelf
    FROM unnest(line_sku) WITH ORDINALITY l (sku, n);

    -- First come, first served, all lines or none.
    FOR i IN 1 .. cardinality(orders) LOOP
        last := first;
        WHILE last <= cardinality(line_of) AND line_of[last] = i LOOP
            last := last + 1;
        END LOOP;
        IF outcomes[i] IS NULL THEN
            outcomes[i] := 'now held';
            FOR j IN first .. last - 1 LOOP
                spot := shelf[j];
                IF spot IS NULL OR free[spot] < line_quantity[j] THEN
                    outcomes[i] := 'now refused';
                    shortages[i] := coalesce(shortages[i], '[]') || jsonb_build_object(
                        'sku', line_sku[j], 'requested', line_quantity[j],
                        'available', CASE WHEN spot IS NULL THEN 0 ELSE free[spot] END);
                END IF;
            END LOOP;
            IF outcomes[i] = 'now held' THEN
                FOR j IN first .. last - 1 LOOP
                    free[shelf[j]] := free[shelf[j]] - line_quantity[j];
                END LOOP;
            END IF;
        END IF;
        first := last;
    END LOOP;

    -- Unique keys decide between writers: whoever loses here rolls back and asks again.
    INSERT INTO reservations (order_id, state, request_digest, shortages)
    SELECT o.order_id, replace(outcomes[o.n], 'now ', ''), digests[o.n], shortages[o.n]
    FROM unnest(orders) WITH ORDINALITY o (order_id, n)
    WHERE outcomes[o.n] LIKE 'now %' ORDER BY o.order_id;

    INSERT INTO movements (order_id, sku, operation, quantity)
    SELECT orders[l.i], l.sku, 'reserve', l.quantity
    FROM unnest(line_of, line_sku, line_quantity) l (i, sku, quantity)
    WHERE outcomes[l.i] = 'now held';

    UPDATE stock SET reserved = reserved + taken.quantity, updated_at = now()
    FROM (
        SELECT l.sku, sum(l.quantity) AS quantity
        FROM unnest(line_of, line_sku, line_quantity) l (i, sku, quantity)
        WHERE outcomes[l.i] = 'now held' GROUP BY l.sku
    ) taken
    WHERE stock.sku = taken.sku;

    RETURN QUERY SELECT n, outcomes[n], shortages[n] FROM generate_series(1, cardinality(orders)) n;
END
$$;

-- Commit ('committed') or release ('released') held orders. `outcome` is the state before the
-- call, NULL for an order never heard of; releasing an unknown order leaves a tombstone.
CREATE FUNCTION settle_many(orders uuid[], target text)
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

    -- One statement reads the states and locks them. Were they read by a later one, a commit and a
    -- release could both see a hold made in between, and both take effect.
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

-- Add pieces to a SKU once per key. `outcome`: 'now restocked', 'restocked' (a copy), 'other
-- quantity' (the key was used for another amount), 'unknown' (no such SKU).
CREATE FUNCTION restock(wanted_sku text, key text, pieces bigint)
RETURNS TABLE (outcome text, on_hand bigint, reserved bigint) LANGUAGE plpgsql AS $$
DECLARE
    level   stock%ROWTYPE;
    earlier bigint;
BEGIN
    SELECT * INTO level FROM stock s WHERE s.sku = wanted_sku FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'unknown', 0::bigint, 0::bigint;
        RETURN;
    END IF;
    SELECT m.quantity INTO earlier FROM movements m
    WHERE m.sku = wanted_sku AND m.restock_key = key;
    IF FOUND THEN
        RETURN QUERY SELECT CASE WHEN earlier = pieces THEN 'restocked' ELSE 'other quantity' END,
                            level.on_hand, level.reserved;
        RETURN;
    END IF;
    INSERT INTO movements (sku, operation, quantity, restock_key)
    VALUES (wanted_sku, 'restock', pieces, key);
    UPDATE stock s SET on_hand = s.on_hand + pieces, updated_at = now() WHERE s.sku = wanted_sku;
    RETURN QUERY SELECT 'now restocked', level.on_hand + pieces, level.reserved;
END
$$;
