-- Stock, the reservations on it, and the ledger of every piece that moved.

CREATE TABLE stock (
    sku        text PRIMARY KEY CHECK (sku ~ '^[A-Z0-9]([A-Z0-9-]{0,62}[A-Z0-9])?$'),
    on_hand    bigint NOT NULL,
    reserved   bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stock_on_hand_not_negative CHECK (on_hand >= 0),
    CONSTRAINT stock_reserved_not_negative CHECK (reserved >= 0),
    CONSTRAINT stock_not_oversold CHECK (reserved <= on_hand)
) WITH (fillfactor = 50);  -- room for in-place (HOT) updates of the busiest rows

-- One row per order, whatever became of it. `released` without movements is a tombstone: the
-- order was given up before its hold arrived. `refused` keeps a sold-out verdict, so that a late
-- copy of the request gets the same answer even if the shelf has been filled since.
CREATE TABLE reservations (
    order_id       uuid PRIMARY KEY,
    state          text NOT NULL CHECK (state IN ('held', 'committed', 'released', 'refused')),
    request_digest bytea,
    shortages      jsonb,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT refused_says_why CHECK ((state = 'refused') = (shortages IS NOT NULL))
);

CREATE TABLE movements (
    movement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id    uuid,
    sku         text NOT NULL REFERENCES stock,
    operation   text NOT NULL
                CHECK (operation IN ('reserve', 'commit', 'release', 'restock', 'initial')),
    quantity    bigint NOT NULL CHECK (quantity > 0 OR (operation = 'initial' AND quantity = 0)),
    restock_key text,
    at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT movement_has_its_cause CHECK (
        (order_id IS NOT NULL) = (operation IN ('reserve', 'commit', 'release'))
        AND (restock_key IS NOT NULL) = (operation = 'restock')
    )
);
-- The promise itself: at most one effect per order, SKU and operation.
CREATE UNIQUE INDEX movements_once_per_order ON movements (order_id, sku, operation)
    WHERE order_id IS NOT NULL;
-- What an order holds of a SKU is committed or released, never both.
CREATE UNIQUE INDEX movements_settled_once ON movements (order_id, sku)
    WHERE operation IN ('commit', 'release');
CREATE UNIQUE INDEX movements_once_per_restock ON movements (sku, restock_key)
    WHERE restock_key IS NOT NULL;
CREATE UNIQUE INDEX movements_once_initial ON movements (sku) WHERE operation = 'initial';

CREATE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER movements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history();
