-- A restock that is sent again gets the answer of the first time, whatever has been sold since.

-- The level right after a restock; NULL for other movements, and for restocks before this file.
ALTER TABLE movements ADD COLUMN on_hand_after bigint, ADD COLUMN reserved_after bigint;

-- Add pieces to a SKU once per key. `outcome`: 'now restocked', 'restocked' (a copy, with the
-- level of the first time), 'other quantity' (the key was used for another amount or another
-- SKU), 'unknown' (no such SKU).
CREATE OR REPLACE FUNCTION restock(wanted_sku text, key text, pieces bigint)
RETURNS TABLE (outcome text, on_hand bigint, reserved bigint) LANGUAGE plpgsql AS $$
DECLARE
    level   stock%ROWTYPE;
    earlier movements%ROWTYPE;
BEGIN
    -- One key at a time: two SKUs are two rows, and no unique index would see them meet.
    PERFORM pg_advisory_xact_lock(hashtextextended(key, 0));
    SELECT * INTO level FROM stock s WHERE s.sku = wanted_sku FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'unknown', 0::bigint, 0::bigint;
        RETURN;
    END IF;
    -- Its own SKU first: before this file, a key was good for one restock of each.
    SELECT * INTO earlier FROM movements m WHERE m.restock_key = key
    ORDER BY m.sku = wanted_sku DESC LIMIT 1;
    IF FOUND THEN
        RETURN QUERY SELECT
            CASE WHEN earlier.sku = wanted_sku AND earlier.quantity = pieces
                 THEN 'restocked' ELSE 'other quantity' END,
            coalesce(earlier.on_hand_after, level.on_hand),
            coalesce(earlier.reserved_after, level.reserved);
        RETURN;
    END IF;
    INSERT INTO movements (sku, operation, quantity, restock_key, on_hand_after, reserved_after)
    VALUES (wanted_sku, 'restock', pieces, key, level.on_hand + pieces, level.reserved);
    UPDATE stock s SET on_hand = s.on_hand + pieces, updated_at = now() WHERE s.sku = wanted_sku;
    RETURN QUERY SELECT 'now restocked', level.on_hand + pieces, level.reserved;
END
$$;
