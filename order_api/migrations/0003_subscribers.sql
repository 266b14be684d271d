-- How far each add-on has read the order events. Effects and cursor move in one transaction.

CREATE TABLE subscriber_cursors (
    subscriber text PRIMARY KEY,
    tx         xid8 NOT NULL DEFAULT '0',
    seq        bigint NOT NULL DEFAULT 0,
    failures   int NOT NULL DEFAULT 0,
    last_error text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
