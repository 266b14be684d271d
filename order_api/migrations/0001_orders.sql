-- Orders, their lines, the append-only story of each, and the catalogue they were priced from.

CREATE TABLE products (
    sku              text PRIMARY KEY CHECK (sku ~ '^[A-Z0-9]([A-Z0-9-]{0,62}[A-Z0-9])?$'),
    name             text NOT NULL,
    description      text NOT NULL,
    unit_price_minor bigint NOT NULL CHECK (unit_price_minor >= 0),
    currency         text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    image_url        text NOT NULL,
    listed           boolean NOT NULL DEFAULT true
);

-- How far along a status is. It only ever grows: news that arrive late or twice change nothing.
CREATE FUNCTION order_rank(status text) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE status WHEN 'received' THEN 0 WHEN 'reserved' THEN 1 ELSE 2 END
$$;

CREATE TABLE orders (
    order_id            uuid PRIMARY KEY,
    customer            text NOT NULL,
    idempotency_key     text NOT NULL,
    request_digest      bytea NOT NULL,
    status              text NOT NULL DEFAULT 'received' CHECK (status IN
                        ('received', 'reserved', 'shipped', 'rejected', 'cancelled', 'failed')),
    reason              text,
    waiting_for         text,
    total_minor         bigint NOT NULL CHECK (total_minor >= 0),
    currency            text NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    cancel_requested_at timestamptz,
    -- When the relay should next make sure that a workflow is at work on this order.
    relay_at            timestamptz NOT NULL,
    CONSTRAINT one_order_per_key UNIQUE (customer, idempotency_key)
) WITH (fillfactor = 80);  -- an order's row is updated once or twice in its life
CREATE INDEX orders_of_customer ON orders (customer, created_at DESC, order_id DESC);
CREATE INDEX orders_newest ON orders (created_at DESC, order_id DESC);
CREATE INDEX orders_unsettled ON orders (relay_at) WHERE status IN ('received', 'reserved');

CREATE TABLE order_lines (
    order_id         uuid NOT NULL REFERENCES orders,
    line_no          int NOT NULL,
    sku              text NOT NULL,
    quantity         int NOT NULL CHECK (quantity > 0),
    unit_price_minor bigint NOT NULL CHECK (unit_price_minor >= 0),
    PRIMARY KEY (order_id, line_no),
    CONSTRAINT each_sku_once UNIQUE (order_id, sku)
);

CREATE TABLE order_events (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders,
    key      text NOT NULL,
    type     text NOT NULL,
    at       timestamptz NOT NULL,
    detail   jsonb NOT NULL,
    -- Numbers are given out before commits become visible. A subscriber reads only events of
    -- transactions below every one that is still open, and so never steps over a late one.
    tx       xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT told_once UNIQUE (order_id, key)
);
CREATE INDEX order_events_in_commit_order ON order_events (tx, seq);

CREATE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER order_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history();

CREATE FUNCTION refuse_going_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an order that is % cannot become %', OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'status_only_moves_forward';
END
$$;
CREATE TRIGGER orders_only_move_forward BEFORE UPDATE OF status ON orders
    FOR EACH ROW WHEN (OLD.status <> NEW.status AND order_rank(NEW.status) <= order_rank(OLD.status))
    EXECUTE FUNCTION refuse_going_back();
