-- Fault rules in force and the evidence of those that fired. Empty unless somebody attacks.

CREATE TABLE fault_rules (
    name       text PRIMARY KEY,
    rule       jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE fault_log (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule      text NOT NULL,
    order_id  uuid NOT NULL,
    operation text NOT NULL,
    attempt   int NOT NULL,
    point     text NOT NULL,
    fault     text NOT NULL,
    pid       int NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (rule, order_id, operation, attempt)
);
