-- The same decisions as in 0002 and 0004, answered in typed columns. As there, locks are taken in one
-- order everywhere (stock rows by SKU, then reservations by order id), each statement has a snapshot
-- of its own, and callers pass each order id at most once per call.

-- Lines come flattened: line i belongs to the order at position line_of[i] of `orders`. `state` is the
-- order's state after the call, `replayed` says that an earlier call had decided it, `conflict` that
-- it was first asked for with different lines.
CREATE FUNCTION reserve_orders(
    orders uuid[], digests bytea[], line_of int[], line_sku text[], line_quantity bigint[]
) RETURNS TABLE (place int, state text, replayed boolean, conflict boolean, shortages jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    skus      text[];
    free      bigint[];
    shelf     int[];             -- shelf[i]: position of line i's SKU in `skus`, NULL if unknown
    states    text[];
    decided   boolean[];         -- before this call
    differing boolean[];
    missing   jsonb[];
    first     int := 1;
    last      int;
    spot      int;
BEGIN
    SELECT array_agg(s.sku), array_agg(s.on_hand - s.reserved) INTO skus, free
    FROM (
        SELECT sku, on_hand, reserved FROM stock
        WHERE sku = ANY (line_sku) ORDER BY sku FOR NO KEY UPDATE
    ) s;

    SELECT array_agg(r.state ORDER BY o.n), array_agg(r.state IS NOT NULL ORDER BY o.n),
           array_agg(coalesce(r.request_digest <> digests[o.n], false) ORDER BY o.n),
           array_agg(r.shortages ORDER BY o.n)
    INTO states, decided, differing, missing
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
        IF NOT decided[i] THEN
            states[i] := 'held';
            FOR j IN first .. last - 1 LOOP
                spot := shelf[j];
                IF spot IS NULL OR free[spot] < line_quantity[j] THEN
                    states[i] := 'refused';
                    missing[i] := coalesce(missing[i], '[]') || jsonb_build_object(
                        'sku', line_sku[j], 'requested', line_quantity[j],
                        'available', CASE WHEN spot IS NULL THEN 0 ELSE free[spot] END);
                END IF;
            END LOOP;
            IF states[i] = 'held' THEN
                FOR j IN first .. last - 1 LOOP
                    free[shelf[j]] := free[shelf[j]] - line_quantity[j];
                END LOOP;
            END IF;
        END IF;
        first := last;
    END LOOP;

    -- Unique keys decide between writers: whoever loses here rolls back and asks again.
    INSERT INTO reservations (order_id, state, request_digest, shortages)
    SELECT o.order_id, states[o.n], digests[o.n], missing[o.n]
    FROM unnest(orders) WITH ORDINALITY o (order_id, n)
    WHERE NOT decided[o.n] ORDER BY o.order_id;

    INSERT INTO movements (order_id, sku, operation, quantity)
    SELECT orders[l.i], l.sku, 'reserve', l.quantity
    FROM unnest(line_of, line_sku, line_quantity) l (i, sku, quantity)
    WHERE NOT decided[l.i] AND states[l.i] = 'held';

    UPDATE stock SET reserved = reserved + taken.quantity, updated_at = now()
    FROM (
        SELECT l.sku, sum(l.quantity) AS quantity
        FROM unnest(line_of, line_sku, line_quantity) l (i, sku, quantity)
        WHERE NOT decided[l.i] AND states[l.i] = 'held' GROUP BY l.sku
    ) taken
    WHERE stock.sku = taken.sku;

    RETURN QUERY SELECT n, states[n], decided[n], differing[n], missing[n]
    FROM generate_series(1, cardinality(orders)) n;
END
$$;

-- Commit ('committed') or release ('released') held orders. `state` is the state after the call, NULL
-- for an order never heard of that was to be committed; `replayed` says that nothing was changed.
-- Releasing an unknown order leaves a tombstone.
CREATE FUNCTION commit_or_release(orders uuid[], target text)
RETURNS TABLE (place int, state text, replayed boolean) LANGUAGE plpgsql AS $$
DECLARE
    befores text[];
    held    uuid[];
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
        SELECT r.order_id, r.state FROM reservations r WHERE r.order_id = ANY (orders)
        ORDER BY r.order_id FOR NO KEY UPDATE
    )
    SELECT array_agg(l.state ORDER BY o.n),
           array_agg(o.order_id) FILTER (WHERE l.state = 'held')
    INTO befores, held
    FROM unnest(orders) WITH ORDINALITY o (order_id, n)
    LEFT JOIN locked l USING (order_id);

    IF target = 'released' THEN
        INSERT INTO reservations (order_id, state)
        SELECT o.order_id, 'released' FROM unnest(orders) WITH ORDINALITY o (order_id, n)
        WHERE befores[o.n] IS NULL ORDER BY o.order_id;
    END IF;

    IF held IS NOT NULL THEN
        UPDATE reservations r SET state = target, updated_at = now() WHERE r.order_id = ANY (held);

        WITH moved AS (
            INSERT INTO movements (order_id, sku, operation, quantity)
            SELECT m.order_id, m.sku,
                   CASE target WHEN 'committed' THEN 'commit' ELSE 'release' END, m.quantity
            FROM movements m WHERE m.order_id = ANY (held) AND m.operation = 'reserve'
            RETURNING sku, quantity
        )
        UPDATE stock
        SET reserved = reserved - gone.quantity,
            on_hand = on_hand - CASE target WHEN 'committed' THEN gone.quantity ELSE 0 END,
            updated_at = now()
        FROM (SELECT sku, sum(quantity) AS quantity FROM moved GROUP BY sku) gone
        WHERE stock.sku = gone.sku;
    END IF;

    RETURN QUERY
    SELECT verdict.n, CASE WHEN changed THEN target ELSE befores[n] END, NOT changed
    FROM generate_series(1, cardinality(orders)) verdict (n), LATERAL (
        SELECT coalesce(befores[n] = 'held', target = 'released') AS changed
    ) effect;
END
$$;

-- Add pieces to a SKU once per key. `known` says that there is such a SKU, `replayed` that the key was
-- used before, `conflict` that it was for another amount or another SKU. The level is the one after
-- the first time.
CREATE FUNCTION restock_once(wanted_sku text, key text, pieces bigint)
RETURNS TABLE (known boolean, replayed boolean, conflict boolean, on_hand bigint, reserved bigint)
LANGUAGE plpgsql AS $$
DECLARE
    level   stock%ROWTYPE;
    earlier movements%ROWTYPE;
BEGIN
    -- One key at a time: two SKUs are two rows, and no unique index would see them meet.
    PERFORM pg_advisory_xact_lock(hashtextextended(key, 0));
    SELECT * INTO level FROM stock s WHERE s.sku = wanted_sku FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT false, false, false, 0::bigint, 0::bigint;
        RETURN;
    END IF;
    -- Its own SKU first: before migration 0004, a key was good for one restock of each.
    SELECT * INTO earlier FROM movements m WHERE m.restock_key = key
    ORDER BY m.sku = wanted_sku DESC LIMIT 1;
    IF FOUND THEN
        RETURN QUERY SELECT true, true,
            earlier.sku <> wanted_sku OR earlier.quantity <> pieces,
            coalesce(earlier.on_hand_after, level.on_hand),
            coalesce(earlier.reserved_after, level.reserved);
        RETURN;
    END IF;
    INSERT INTO movements (sku, operation, quantity, restock_key, on_hand_after, reserved_after)
    VALUES (wanted_sku, 'restock', pieces, key, level.on_hand + pieces, level.reserved);
    UPDATE stock s SET on_hand = s.on_hand + pieces, updated_at = now() WHERE s.sku = wanted_sku;
    RETURN QUERY SELECT true, false, false, level.on_hand + pieces, level.reserved;
END
$$;

-- What the release before this one calls, for as long as some of its replicas run beside newer ones.
CREATE OR REPLACE FUNCTION reserve_many(
    orders uuid[], digests bytea[], line_of int[], line_sku text[], line_quantity bigint[]
) RETURNS TABLE (place int, outcome text, shortage jsonb) LANGUAGE sql AS $$
    SELECT v.place, CASE WHEN v.conflict THEN 'other lines' WHEN v.replayed THEN v.state
                         ELSE 'now ' || v.state END, v.shortages
    FROM reserve_orders(orders, digests, line_of, line_sku, line_quantity) v
$$;
CREATE OR REPLACE FUNCTION settle_many(orders uuid[], target text)
RETURNS TABLE (place int, outcome text) LANGUAGE sql AS $$
    SELECT v.place, CASE WHEN v.replayed THEN v.state ELSE 'held' END
    FROM commit_or_release(orders, target) v
$$;
CREATE OR REPLACE FUNCTION restock(wanted_sku text, key text, pieces bigint)
RETURNS TABLE (outcome text, on_hand bigint, reserved bigint) LANGUAGE sql AS $$
    SELECT CASE WHEN NOT v.known THEN 'unknown' WHEN v.conflict THEN 'other quantity'
                WHEN v.replayed THEN 'restocked' ELSE 'now restocked' END, v.on_hand, v.reserved
    FROM restock_once(wanted_sku, key, pieces) v
$$;
