-- columns
fault_log.id bigint NOT NULL GENERATED ALWAYS AS IDENTITY
fault_log.rule text NOT NULL
fault_log.order_id uuid NOT NULL
fault_log.operation text NOT NULL
fault_log.attempt integer NOT NULL
fault_log.point text NOT NULL
fault_log.fault text NOT NULL
fault_log.pid integer NOT NULL
fault_log.at timestamp with time zone NOT NULL DEFAULT now()
fault_rules.name text NOT NULL
fault_rules.rule jsonb NOT NULL
fault_rules.updated_at timestamp with time zone NOT NULL DEFAULT now()
order_events.seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY
order_events.order_id uuid NOT NULL
order_events.key text NOT NULL
order_events.type text NOT NULL
order_events.at timestamp with time zone NOT NULL
order_events.detail jsonb NOT NULL
order_events.tx xid8 NOT NULL DEFAULT pg_current_xact_id()
order_lines.order_id uuid NOT NULL
order_lines.line_no integer NOT NULL
order_lines.sku text NOT NULL
order_lines.quantity integer NOT NULL
order_lines.unit_price_minor bigint NOT NULL
orders.order_id uuid NOT NULL
orders.customer text NOT NULL
orders.idempotency_key text NOT NULL
orders.request_digest bytea NOT NULL
orders.status text NOT NULL DEFAULT 'received'::text
orders.reason text
orders.waiting_for text
orders.total_minor bigint NOT NULL
orders.currency text NOT NULL
orders.created_at timestamp with time zone NOT NULL DEFAULT now()
orders.updated_at timestamp with time zone NOT NULL DEFAULT now()
orders.cancel_requested_at timestamp with time zone
orders.relay_at timestamp with time zone NOT NULL
products.sku text NOT NULL
products.name text NOT NULL
products.description text NOT NULL
products.unit_price_minor bigint NOT NULL
products.currency text NOT NULL
products.image_url text NOT NULL
products.listed boolean NOT NULL DEFAULT true
schema_migrations.version integer NOT NULL
schema_migrations.name text NOT NULL
schema_migrations.digest text NOT NULL
schema_migrations.applied_at timestamp with time zone NOT NULL DEFAULT now()
subscriber_cursors.subscriber text NOT NULL
subscriber_cursors.tx xid8 NOT NULL DEFAULT '0'::xid8
subscriber_cursors.seq bigint NOT NULL DEFAULT 0
subscriber_cursors.failures integer NOT NULL DEFAULT 0
subscriber_cursors.last_error text
subscriber_cursors.updated_at timestamp with time zone NOT NULL DEFAULT now()

-- table options
orders WITH (fillfactor=80)

-- constraints
fault_log: fault_log_pkey PRIMARY KEY (id)
fault_log: fault_log_rule_order_id_operation_attempt_key UNIQUE (rule, order_id, operation, attempt)
fault_rules: fault_rules_pkey PRIMARY KEY (name)
order_events: order_events_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(order_id)
order_events: order_events_pkey PRIMARY KEY (seq)
order_events: told_once UNIQUE (order_id, key)
order_lines: order_lines_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(order_id)
order_lines: order_lines_pkey PRIMARY KEY (order_id, line_no)
order_lines: order_lines_quantity_check CHECK ((quantity > 0))
order_lines: order_lines_unit_price_minor_check CHECK ((unit_price_minor >= 0))
orders: one_order_per_key UNIQUE (customer, idempotency_key)
orders: orders_pkey PRIMARY KEY (order_id)
orders: orders_status_check CHECK ((status = ANY (ARRAY['received'::text, 'reserved'::text, 'shipped'::text, 'rejected'::text, 'cancelled'::text, 'failed'::text])))
orders: orders_total_minor_check CHECK ((total_minor >= 0))
products: products_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text))
products: products_pkey PRIMARY KEY (sku)
products: products_sku_check CHECK ((sku ~ '^[A-Z0-9]([A-Z0-9-]{0,62}[A-Z0-9])?$'::text))
products: products_unit_price_minor_check CHECK ((unit_price_minor >= 0))
schema_migrations: schema_migrations_pkey PRIMARY KEY (version)
subscriber_cursors: subscriber_cursors_pkey PRIMARY KEY (subscriber)

-- indexes
CREATE INDEX order_events_in_commit_order ON public.order_events USING btree (tx, seq)
CREATE INDEX orders_by_status ON public.orders USING btree (status, created_at, order_id)
CREATE INDEX orders_of_customer_by_status ON public.orders USING btree (customer, status, created_at, order_id)
CREATE INDEX orders_unsettled ON public.orders USING btree (relay_at) WHERE (status = ANY (ARRAY['received'::text, 'reserved'::text]))
CREATE UNIQUE INDEX fault_log_pkey ON public.fault_log USING btree (id)
CREATE UNIQUE INDEX fault_log_rule_order_id_operation_attempt_key ON public.fault_log USING btree (rule, order_id, operation, attempt)
CREATE UNIQUE INDEX fault_rules_pkey ON public.fault_rules USING btree (name)
CREATE UNIQUE INDEX one_order_per_key ON public.orders USING btree (customer, idempotency_key)
CREATE UNIQUE INDEX order_events_pkey ON public.order_events USING btree (seq)
CREATE UNIQUE INDEX order_lines_each_sku_once ON public.order_lines USING btree (sku, order_id)
CREATE UNIQUE INDEX order_lines_pkey ON public.order_lines USING btree (order_id, line_no)
CREATE UNIQUE INDEX orders_pkey ON public.orders USING btree (order_id)
CREATE UNIQUE INDEX products_pkey ON public.products USING btree (sku)
CREATE UNIQUE INDEX schema_migrations_pkey ON public.schema_migrations USING btree (version)
CREATE UNIQUE INDEX subscriber_cursors_pkey ON public.subscriber_cursors USING btree (subscriber)
CREATE UNIQUE INDEX told_once ON public.order_events USING btree (order_id, key)

-- triggers
CREATE TRIGGER order_events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.order_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history()
CREATE TRIGGER orders_only_move_forward BEFORE UPDATE OF status ON public.orders FOR EACH ROW WHEN (((old.status <> new.status) AND (order_rank(new.status) <= order_rank(old.status)))) EXECUTE FUNCTION refuse_going_back()

-- functions
CREATE OR REPLACE FUNCTION public.adopt_restored_events()
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    last_restored bigint;
    adopted bigint;
BEGIN
    IF NOT events_of_another_cluster() THEN
        RETURN 0;
    END IF;
    LOCK TABLE subscriber_cursors IN EXCLUSIVE MODE;
    IF NOT events_of_another_cluster() THEN
        RETURN 0;  -- somebody else has done it meanwhile
    END IF;
    -- whatever this cluster has written since has higher numbers and keeps its ids
    SELECT coalesce(max(seq), 0) INTO last_restored FROM order_events
    WHERE tx >= pg_snapshot_xmax(pg_current_snapshot());
    PERFORM set_config('valerix.adopting_events', 'on', true);
    UPDATE order_events e SET tx = (SELECT count(*) FROM subscriber_cursors c
                                    WHERE (c.tx, c.seq) < (e.tx, e.seq))::text::xid8
    WHERE e.seq <= last_restored;
    GET DIAGNOSTICS adopted = ROW_COUNT;
    PERFORM set_config('valerix.adopting_events', 'off', true);
    UPDATE subscriber_cursors c SET seq = last_restored, updated_at = now(),
           tx = (SELECT count(*) FROM subscriber_cursors other
                 WHERE (other.tx, other.seq) < (c.tx, c.seq))::text::xid8;
    RETURN adopted;
END
$function$

CREATE OR REPLACE FUNCTION public.events_of_another_cluster()
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce(greatest((SELECT max(tx) FROM order_events),
                             (SELECT max(tx) FROM subscriber_cursors))
                    >= pg_snapshot_xmax(pg_current_snapshot()), false)
$function$

CREATE OR REPLACE FUNCTION public.order_rank(status text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE status WHEN 'received' THEN 0 WHEN 'reserved' THEN 1 ELSE 2 END
$function$

CREATE OR REPLACE FUNCTION public.refuse_going_back()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'an order that is % cannot become %', OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'status_only_moves_forward';
END
$function$

CREATE OR REPLACE FUNCTION public.refuse_rewriting_history()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    -- set by adopt_restored_events() alone: the order of events, not what they say
    IF TG_OP = 'UPDATE' AND current_setting('valerix.adopting_events', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$function$

