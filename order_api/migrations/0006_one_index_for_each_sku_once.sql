-- order_lines_each_sku_once has taken its place.
ALTER TABLE order_lines DROP CONSTRAINT each_sku_once;
