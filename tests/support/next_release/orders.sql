-- What a release to come would make of the orders database: orders that wait for stock, that are
-- paid for, and that can run out of time. Additive, so that this release goes on beside it.

ALTER TABLE orders DROP CONSTRAINT orders_status_check;
ALTER TABLE orders ADD CONSTRAINT orders_status_check CHECK (status IN
    ('received', 'waiting_for_stock', 'reserved', 'shipped', 'rejected', 'cancelled', 'failed',
     'expired'));
CREATE OR REPLACE FUNCTION order_rank(status text) RETURNS int LANGUAGE sql IMMUTABLE
PARALLEL SAFE AS $$
    SELECT CASE status WHEN 'received' THEN 0 WHEN 'waiting_for_stock' THEN 1
           WHEN 'reserved' THEN 2 ELSE 3 END
$$;

ALTER TABLE orders ADD COLUMN on_shortage text NOT NULL DEFAULT 'reject',
                   ADD COLUMN payment text NOT NULL DEFAULT 'none';
ALTER TABLE order_lines ADD COLUMN dropped boolean NOT NULL DEFAULT false;
ALTER TABLE order_events ADD COLUMN told_by text NOT NULL DEFAULT 'saga';
ALTER TABLE products ADD COLUMN max_per_customer int;
