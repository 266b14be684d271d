-- columns
legacy_calls.day date NOT NULL
legacy_calls.claim_id uuid NOT NULL
legacy_calls.state text NOT NULL
legacy_calls.capsule_sha256 text
legacy_calls.lineage text NOT NULL
legacy_calls.claimed_at timestamp with time zone NOT NULL
legacy_calls.ended_at timestamp with time zone
legacy_calls.detail text NOT NULL DEFAULT ''::text
schema_migrations.version integer NOT NULL
schema_migrations.name text NOT NULL
schema_migrations.digest text NOT NULL
schema_migrations.applied_at timestamp with time zone NOT NULL DEFAULT now()

-- table options

-- constraints
legacy_calls: legacy_call_digest CHECK ((capsule_sha256 ~ '^[0-9a-f]{64}$'::text))
legacy_calls: legacy_call_end CHECK (((state = 'claimed'::text) = (ended_at IS NULL)))
legacy_calls: legacy_call_state CHECK ((state = ANY (ARRAY['claimed'::text, 'done'::text, 'refused'::text, 'unknown'::text])))
legacy_calls: legacy_calls_claim_id_key UNIQUE (claim_id)
legacy_calls: legacy_calls_pkey PRIMARY KEY (day)
schema_migrations: schema_migrations_pkey PRIMARY KEY (version)

-- indexes
CREATE UNIQUE INDEX legacy_calls_claim_id_key ON public.legacy_calls USING btree (claim_id)
CREATE UNIQUE INDEX legacy_calls_pkey ON public.legacy_calls USING btree (day)
CREATE UNIQUE INDEX schema_migrations_pkey ON public.schema_migrations USING btree (version)

-- triggers
CREATE TRIGGER legacy_claims_stay BEFORE DELETE OR UPDATE ON public.legacy_calls FOR EACH ROW EXECUTE FUNCTION keep_legacy_claim()
CREATE TRIGGER legacy_claims_stay_all BEFORE TRUNCATE ON public.legacy_calls FOR EACH STATEMENT EXECUTE FUNCTION keep_legacy_claim()

-- functions
CREATE OR REPLACE FUNCTION public.keep_legacy_claim()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'a claim of a legacy call is for ever' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.day, NEW.claim_id, NEW.capsule_sha256, NEW.lineage, NEW.claimed_at)
       IS DISTINCT FROM (OLD.day, OLD.claim_id, OLD.capsule_sha256, OLD.lineage, OLD.claimed_at)
       OR OLD.state IN ('done', 'refused') OR NEW.state = 'claimed' THEN
        RAISE EXCEPTION 'a claim of a legacy call does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$function$

